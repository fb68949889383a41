"""HTTP bodies in and out: JSON objects, validated by one pydantic model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from broker.plugin import Refusal

M = TypeVar("M", bound=BaseModel)

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""What every answer says that does not say otherwise: no browser keeps it, shows it in another site's frame, lets
another site's page embed it, or takes it for something else than its content type."""


async def read_body(request: web.Request, model: type[M]) -> M:
    """The request's body as ``model``. Raises Refusal: 415 for another content type, 413 for too large a body, 400
    ``invalid_json`` or ``invalid_request``, which name the field and what is allowed, never what was sent."""
    return validate(await read_json_bytes(request), model)


async def read_json_bytes(request: web.Request) -> bytes:
    """The request's body, whose content type must be ``application/json``."""
    if request.content_type != "application/json":
        raise Refusal("unsupported_media_type", "send the body as application/json", status=415)
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise Refusal("too_large", "the body is too large", status=413) from None


def validate(data: bytes, model: type[M]) -> M:
    """Bytes as ``model``. Raises Refusal ``invalid_json`` or ``invalid_request`` (400)."""
    try:
        document = from_json(data, allow_inf_nan=False)  # pydantic's own reading would take NaN, which is not JSON
    except ValueError:
        raise Refusal("invalid_json", "the body is not UTF-8 JSON") from None
    try:
        return model.model_validate(document)
    except ValidationError as error:
        details = error.errors(include_input=False, include_url=False)
        raise Refusal("invalid_request", "; ".join(_finding(detail) for detail in details)) from None


def _finding(detail: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in detail["loc"]) or "the body"
    return f"{where}: {str(detail['msg']).removeprefix('Value error, ')}"


def answer(
    body: BaseModel | Mapping[str, Any] | Sequence[Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A JSON answer: a model or a list of models without what is None, or plain JSON."""
    return answer_json(
        json.dumps(_plain(body), ensure_ascii=False, separators=(",", ":")).encode(), status=status, headers=headers
    )


def answer_json(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer that is JSON already."""
    return web.Response(
        body=body, status=status, content_type="application/json", headers={**HEADERS, **(headers or {})}
    )


def is_known(request: web.Request, tag: str) -> bool:
    """Whether the client keeps the answer of this entity tag, and needs it not again (RFC 9110 §13.1.2)."""
    return any(known.value in (tag, "*") for known in request.if_none_match or ())


def _plain(body: Any) -> Any:
    if isinstance(body, BaseModel):
        return body.model_dump(mode="json", exclude_none=True)
    if isinstance(body, (list, tuple)):
        return [_plain(item) for item in body]
    return body
