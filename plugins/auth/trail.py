"""What users leave in the audit trail: words for what was done to them, and for coming in."""

from __future__ import annotations

from collections.abc import Iterator

from broker.plugin import Actor, Entry

ADD, CHANGE, SESSION = "user/add", "user/change", "session"

DETAILS = "details"
"""The outcome of a change of name or e-mail address: which one is nobody's business."""

Standing = tuple[str, str | None, bool]


def added(by: Actor, user_id: str, role: str) -> Entry:
    """A user was added, by themselves where nobody had signed in."""
    return Entry(*by, ADD, role, user_id)


def changed(by: Actor, user_id: str, before: Standing, after: Standing) -> Iterator[Entry]:
    """One entry for each part of a standing that is another now: role, password, and whether it is active."""
    if after[0] != before[0]:
        yield Entry(*by, CHANGE, f"role {after[0]}", user_id)
    if after[1] != before[1]:
        yield Entry(*by, CHANGE, "password", user_id)
    if after[2] != before[2]:
        yield Entry(*by, CHANGE, "enabled" if after[2] else "disabled", user_id)
