"""By which names the box is known, and whose pages may use it: ``Host`` and ``Origin`` (protocol.md, HTTP).

A page of another site may not use a visitor's browser against the box, nor may a name that was pointed at the box's
address after its page was loaded (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_AUTHORITY = re.compile(rf"(\[[0-9a-f:.]+\]|{_LABEL}(?:\.{_LABEL})*)(?::([0-9]{{0,5}}))?")
"""``host[:port]``, in lower case, as browsers write it: no user, no blank, no zone, no dot at the end."""

_STANDARD_PORTS = {"http": ":80", "https": ":443"}


class OwnNames:
    """``public_urls`` are origins (``https://box.example.org``) at which browsers reach the box."""

    def __init__(self, public_urls: Iterable[str]) -> None:
        self._public_origins = {_normal(_in_ascii(url.lower())) for url in public_urls}
        self._public_names = {_name(origin.partition("://")[2]) for origin in self._public_origins}

    def has(self, host: str) -> bool:
        """Whether a ``Host`` header's value is the box: an IP address, ``localhost``, ``*.local`` or a public name,
        with any port."""
        name = _name(host.lower())
        if name == "localhost" or name.endswith(".local") or (name and name in self._public_names):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def is_public(self, origin: str) -> bool:
        """Whether an ``Origin`` header's value is one of ``public_urls``."""
        return _normal(origin.lower()) in self._public_origins

    def may_call(self, origin: str, scheme: str, host: str) -> bool:
        """Whether pages of ``origin`` may use the box at ``scheme://host``: public ones, and its own."""
        return self.is_public(origin) or _normal(origin.lower()) == _normal(f"{scheme}://{host.lower()}")


def _name(host: str) -> str:
    """The name or IP address of ``host[:port]``, without brackets; empty where it is not one."""
    found = _AUTHORITY.fullmatch(host)
    return found[1].strip("[]") if found is not None else ""


def _normal(origin: str) -> str:
    """An origin without its scheme's own port."""
    scheme, separator, host = origin.partition("://")
    return f"{scheme}{separator}{host.removesuffix(_STANDARD_PORTS.get(scheme, '|'))}"


def _in_ascii(url: str) -> str:
    """As browsers send it: a name beyond ASCII travels as ``xn--…``."""
    scheme, separator, host = url.partition("://")
    try:
        return scheme + separator + host.encode("idna").decode()
    except UnicodeError:
        return url
