"""The pages over HTTP: what a browser may keep of them, and what they may do in it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence

from aiohttp import web

from broker.doors.bodies import is_known
from broker.plugin import Refusal
from plugins.pages.files import ASSETS, PAGES, Built, File

UNBUILT = "The pages are not built yet: “make pages” builds them; then start the box again."
"""What the log and a browser are told where there are none."""

_IN_LINE = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def policy(html: bytes) -> str:
    """What a page may do (Content Security Policy, level 3).

    It is made of files of the box and speaks with the box alone. Whatever somebody typed, no text becomes a script:
    nothing in line but what the build itself put there, by its hash, nothing from a ``data:`` or ``blob:`` address, and
    no way from a string to HTML or code.
    """
    digests = [hashlib.sha256(script).digest() for script in _IN_LINE.findall(html)]
    in_line = "".join(f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self'{in_line}",
            "style-src 'self'",
            "img-src 'self'",
            "font-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


UNUSED = (
    "accelerometer",
    "autoplay",
    "browsing-topics",
    "camera",
    "display-capture",
    "encrypted-media",
    "gamepad",
    "geolocation",
    "gyroscope",
    "hid",
    "idle-detection",
    "local-fonts",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "picture-in-picture",
    "publickey-credentials-create",
    "publickey-credentials-get",
    "serial",
    "usb",
    "window-management",
    "xr-spatial-tracking",
)
"""What browsers offer to pages and ours do without."""

PAGE_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-cache",  # kept, and asked for again each time: it names the assets of this very build
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in UNUSED),
}
ASSET_HEADERS: Mapping[str, str] = {"Cache-Control": "public, max-age=31536000, immutable"}


class PagesHttp:
    """The handlers; ``routes`` lists them. ``built`` is None where nobody has built the pages."""

    def __init__(self, built: Built | None) -> None:
        self._built = built
        pages = {} if built is None else built.pages
        self._policies = {address: policy(page.plain.body) for address, page in pages.items()}

    def routes(self) -> Sequence[web.RouteDef]:
        return (*(web.get(address, self.page) for address in PAGES), web.get(f"/{ASSETS}/{{name}}", self.asset))

    async def page(self, request: web.Request) -> web.Response:
        if self._built is None:
            return web.Response(text=UNBUILT + "\n", status=503)
        headers = {**PAGE_HEADERS, "Content-Security-Policy": self._policies[request.path]}
        return _answer(request, self._built.pages[request.path], headers)

    async def asset(self, request: web.Request) -> web.Response:
        file = None if self._built is None else self._built.assets.get(request.match_info["name"])
        if file is None:
            raise Refusal("not_found", "There is no such file.", status=404)
        return _answer(request, file, ASSET_HEADERS)


def _answer(request: web.Request, file: File, headers: Mapping[str, str]) -> web.Response:
    variant = file.variant(",".join(request.headers.getall("Accept-Encoding", ())))
    said = {**headers, "ETag": f'"{variant.tag}"', "Vary": "Accept-Encoding"}
    if is_known(request, variant.tag):
        return web.Response(status=304, headers=said)
    if variant.encoding is not None:
        said["Content-Encoding"] = variant.encoding
    return web.Response(body=variant.body, headers={**said, "Content-Type": file.content_type})
