"""Topic names, topic filters, matching and containment (MQTT 3.1.1 §4.7)."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from normative import shows

from broker.topics import MAX_BYTES, covers, is_topic_filter, is_topic_name, matches

# One level more than the filters have, and a word that no filter uses: any difference shows in one of these.
FILTER_DEPTH = 3
TOPICS = [
    "/".join(levels)
    for depth in range(1, FILTER_DEPTH + 2)
    for levels in product(["", "a", "b", "$x", "other"], repeat=depth)
    if levels != ("",)
]


@st.composite
def topic_filters(draw: st.DrawFn) -> str:
    levels = draw(st.lists(st.sampled_from(["+", "", "a", "b", "$x"]), max_size=FILTER_DEPTH))
    if not levels or draw(st.booleans()):
        levels = [*levels[: FILTER_DEPTH - 1], "#"]
    return "/".join(levels) or "/"


@pytest.mark.parametrize("name", ["a", "/", "a/b", "a//b", "$SYS/x", " ", "é" * (MAX_BYTES // 2)])
def test_a_topic_name_is_any_text_without_wildcards(name: str) -> None:
    assert is_topic_name(name)
    assert is_topic_filter(name)


@shows("4.7.3-3")
@pytest.mark.parametrize("text", ["", "a\0b", "\ud800", "é" * (MAX_BYTES // 2 + 1), "a" * (MAX_BYTES + 1)])
def test_what_is_no_mqtt_string_is_neither_name_nor_filter(text: str) -> None:
    assert not is_topic_name(text)
    assert not is_topic_filter(text)


@pytest.mark.parametrize("text", ["#", "+", "+/+", "a/#", "a/+/b", "/+", "+/", "+/#", "$x/#"])
def test_a_wildcard_as_a_whole_level_makes_a_filter_and_no_name(text: str) -> None:
    assert is_topic_filter(text)
    assert not is_topic_name(text)


@pytest.mark.parametrize("text", ["a#", "a/#/b", "#/", "a/b#", "a+", "+a/b", "a/b+", "a/++", "##", "+#"])
def test_a_wildcard_within_a_level_or_a_hash_before_the_end_is_no_filter(text: str) -> None:
    assert not is_topic_filter(text)
    assert not is_topic_name(text)


@pytest.mark.parametrize(
    ("topic_filter", "topic"),
    [
        ("a/b", "a/b"),
        ("a/+", "a/b"),
        ("a/+", "a/"),
        ("+/+", "/a"),
        ("/+", "/a"),
        ("a/#", "a"),
        ("a/#", "a/b/c"),
        ("+/#", "a"),
        ("#", "a/b"),
        ("#", "/"),
        ("$SYS/#", "$SYS/a"),
        ("$SYS/+", "$SYS/a"),
        ("a/+", "a/$b"),
    ],
)
def test_a_filter_matches(topic_filter: str, topic: str) -> None:
    assert matches(topic_filter, topic)


@pytest.mark.parametrize(
    ("topic_filter", "topic"),
    [
        ("a/b", "a"),
        ("a", "a/"),
        ("a", "A"),
        ("+", "/a"),
        ("a/+", "a"),
        ("a/+", "a/b/c"),
        ("a/+/#", "a"),
        ("a/b/#", "a/c"),
        ("a/b/#", "a"),
        ("#", "$SYS/a"),
        ("+/a", "$SYS/a"),
        ("+/#", "$SYS"),
    ],
)
def test_a_filter_does_not_match(topic_filter: str, topic: str) -> None:
    assert not matches(topic_filter, topic)


def matches_level_by_level(topic_filter: list[str], topic: list[str]) -> bool:
    """§4.7 as it is written, but for the ``$``."""
    if not topic_filter:
        return not topic
    if topic_filter == ["#"]:
        return True
    if not topic:
        return False
    return topic_filter[0] in ("+", topic[0]) and matches_level_by_level(topic_filter[1:], topic[1:])


@given(topic_filters(), st.sampled_from(TOPICS))
def test_matching_agrees_with_the_rules_taken_level_by_level(topic_filter: str, topic: str) -> None:
    is_hidden = topic.startswith("$") and topic_filter[0] in "+#"  # MQTT-4.7.2-1
    by_level = matches_level_by_level(topic_filter.split("/"), topic.split("/"))
    assert matches(topic_filter, topic) == (by_level and not is_hidden)


@given(topic_filters(), topic_filters())
@example("+/+/#", "/#")
def test_covers_agrees_with_every_topic(grant: str, topic_filter: str) -> None:
    assert is_topic_filter(grant)
    assert is_topic_filter(topic_filter)
    witnesses = [topic for topic in TOPICS if matches(topic_filter, topic) and not matches(grant, topic)]
    assert covers(grant, topic_filter) == (not witnesses)


@given(topic_filters(), st.sampled_from(TOPICS))
def test_covering_a_topic_name_is_matching_it(grant: str, topic: str) -> None:
    assert covers(grant, topic) == matches(grant, topic)


@pytest.mark.parametrize(("grant", "topic_filter"), [("+/#", "#"), ("#", "+/#"), ("a/#", "a"), ("a/#", "a/+/#")])
def test_covers_what_looks_different_and_matches_the_same_or_less(grant: str, topic_filter: str) -> None:
    assert covers(grant, topic_filter)


@pytest.mark.parametrize(("grant", "topic_filter"), [("#", "$SYS/#"), ("+/a", "$x/a"), ("a/+/#", "a/#")])
def test_does_not_cover_what_only_looks_contained(grant: str, topic_filter: str) -> None:
    assert not covers(grant, topic_filter)
