"""What text may not contain, wherever people type some: one class of characters for every field."""

from __future__ import annotations

import re

# For a class of Python's regular expressions and of pydantic's (Rust's) alike: both read \uXXXX, only one reads \p{…}.
UNPRINTABLE = (
    r"\x00-\x1f\x7f-\x9f"  # control characters: a terminal obeys them
    r"\u2028\u2029"  # line and paragraph separators: with the line breaks above they forge headers and log lines
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # Bidi_Control: it makes text read as what it is not
    r"\u200b\ufeff"  # nobody sees them: two names that differ by nothing else look the same
)
"""The inside of a character class. Joiners (U+200C, U+200D) are not in it: some languages, and emoji, need them."""

# And half characters, which are what the command line makes of bytes that are not UTF-8.
_unprintable = re.compile(rf"[{UNPRINTABLE}\ud800-\udfff]")


def is_printable(text: str) -> bool:
    """Whether all of it can be shown, and reads as what it is."""
    return _unprintable.search(text) is None
