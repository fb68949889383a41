"""The built pages in memory: each file whole, and compressed where that is smaller.

They are read once, so that no request ever opens a file or names a path.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PAGES: Mapping[str, str] = {"/": "index.html", "/kiosk": "kiosk.html", "/desk": "desk.html"}
"""The pages' addresses, and what the build calls them."""

ASSETS = "assets"
"""The folder of all else that the build makes. A name in it has a hash of its content, so that it never changes."""

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/vnd.microsoft.icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
"""Our own, not the machine's: what a browser is told must not depend on where the box stands."""

UNKNOWN_TYPE = "application/octet-stream"

_NOT_WANTED = re.compile(r"\s*q=0(\.0*)?\s*")


@dataclass(frozen=True, slots=True)
class Variant:
    """A file as it can be sent. ``tag`` tells its bytes from any others (a strong ETag, RFC 9110 §8.8.3)."""

    body: bytes
    tag: str
    encoding: str | None = None


@dataclass(frozen=True, slots=True)
class File:
    content_type: str
    plain: Variant
    compressed: Variant | None

    @classmethod
    def of(cls, path: Path) -> File:
        """Read it. Raises OSError."""
        body = path.read_bytes()
        tag = hashlib.sha256(body).hexdigest()[:32]
        smaller = gzip.compress(body, 9, mtime=0)
        return cls(
            TYPES.get(path.suffix, UNKNOWN_TYPE),
            Variant(body, tag),
            Variant(smaller, f"{tag}-gzip", "gzip") if len(smaller) < len(body) else None,
        )

    def variant(self, accept_encoding: str) -> Variant:
        """The one to send to whom accepts these encodings."""
        return self.compressed if self.compressed is not None and accepts_gzip(accept_encoding) else self.plain


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an ``Accept-Encoding`` header asks for it, by name or by ``*`` (RFC 9110 §12.5.3)."""
    wanted: dict[str, bool] = {}
    for item in accept_encoding.lower().split(","):
        coding, _, weight = item.partition(";")
        wanted[coding.strip()] = _NOT_WANTED.fullmatch(weight) is None
    return wanted.get("gzip", wanted.get("*", False))


@dataclass(frozen=True, slots=True)
class Built:
    """All that the build made: the pages by their address, the assets by their name."""

    pages: Mapping[str, File]
    assets: Mapping[str, File]


def read(folder: Path) -> Built | None:
    """What is in the folder that the build writes to; None where a page is missing. Raises OSError."""
    if not all((folder / name).is_file() for name in PAGES.values()):
        return None
    return Built(
        pages={address: File.of(folder / name) for address, name in PAGES.items()},
        assets={path.name: File.of(path) for path in folder.glob(f"{ASSETS}/*") if path.is_file()},
    )
