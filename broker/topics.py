"""MQTT topic names and topic filters: which are valid, which match, and which filter contains another.

Source: MQTT 3.1.1 §4.7. Everything here is a pure function of its arguments. :func:`matches` and
:func:`covers` take valid names and filters: ask :func:`is_topic_name` and :func:`is_topic_filter` first about
what came from outside.
"""

from __future__ import annotations

MAX_BYTES = 65535
"""The longest topic name or filter in bytes of UTF-8 (MQTT 3.1.1 §4.7.3, [MQTT-4.7.3-3])."""


def is_topic_name(text: str) -> bool:
    """Whether one may publish to it: a valid string without wildcards (§4.7.1, [MQTT-3.3.2-2])."""
    return _is_string(text) and "+" not in text and "#" not in text


def is_topic_filter(text: str) -> bool:
    """Whether one may subscribe to it: ``#`` only as the whole last level ([MQTT-4.7.1-2]), ``+`` only as a
    whole level ([MQTT-4.7.1-3])."""
    if not _is_string(text):
        return False
    if not _has_wildcard(text):
        return True
    *leading, last = text.split("/")
    return all(level == "+" or not _has_wildcard(level) for level in leading) and (
        last in ("+", "#") or not _has_wildcard(last)
    )


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a message to ``topic`` is for a subscription to ``topic_filter`` (§4.7).

    ``a/#`` matches ``a`` too (§4.7.1.2), and a filter that begins with a wildcard matches no topic that
    begins with ``$`` ([MQTT-4.7.2-1]). Levels are compared exactly, without any folding ([MQTT-4.7.3-4]).
    """
    if topic[0] == "$" and topic_filter[0] in "+#":
        return False
    if "+" not in topic_filter:  # nearly always, and comparing strings is faster than comparing levels
        if topic_filter[-1] != "#":
            return topic == topic_filter
        return topic.startswith(topic_filter[:-1]) or topic == topic_filter[:-2]
    levels = topic.split("/")
    wanted = topic_filter.split("/")
    if wanted[-1] == "#":
        wanted.pop()
        if len(levels) < len(wanted):
            return False
    elif len(levels) != len(wanted):
        return False
    # A filter that ends in # says nothing about the levels beyond its own, so the shorter list decides. A loop
    # and not all(), because it is faster and runs for every delivery.
    for want, level in zip(wanted, levels, strict=False):  # noqa: SIM110
        if want != level and want != "+":
            return False
    return True


def covers(grant: str, topic_filter: str) -> bool:
    """Whether ``grant`` contains ``topic_filter``: it matches every topic that the other matches (§4.7).

    Exact in both directions: false means that there is such a topic that ``grant`` does not match.
    """
    if grant[-1] == "#" and len(grant) > 1 and topic_filter.startswith(grant[:-1]):
        return True  # nearly always; the other cases take their time
    granted, granted_is_open = _levels(grant)
    wanted, wanted_is_open = _levels(topic_filter)
    if granted_is_open:
        if len(wanted) < len(granted):
            return False
    elif wanted_is_open or len(wanted) != len(granted):
        return False
    if wanted[0][:1] == "$" and granted[0] == "+":
        return False  # [MQTT-4.7.2-1]
    return all(mine in ("+", theirs) for mine, theirs in zip(granted, wanted, strict=False))


def _is_string(text: str) -> bool:
    # At least one character [MQTT-4.7.3-1], no NUL [MQTT-4.7.3-2], and UTF-8, which has no surrogates
    # [MQTT-1.5.3-1].
    if not text or "\0" in text:
        return False
    try:
        return len(text.encode()) <= MAX_BYTES
    except UnicodeEncodeError:
        return False


def _has_wildcard(level: str) -> bool:
    return "+" in level or "#" in level


def _levels(topic_filter: str) -> tuple[list[str], bool]:
    """The levels that a topic must have at least, and whether it may have more (the filter ends in ``#``)."""
    levels = topic_filter.split("/")
    if levels[-1] != "#":
        return levels, False
    levels.pop()
    if levels == [""]:
        # No topic is empty ([MQTT-4.7.3-1]), so /# and /+/# match the same topics.
        levels.append("+")
    # Every topic has a first level, so # alone and +/# match the same topics.
    return levels or ["+"], True
