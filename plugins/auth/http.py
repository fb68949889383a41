"""The routes of ``/api/session``, ``/api/me`` and ``/api/users``."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from broker.doors.bodies import answer, read_body
from broker.plugin import CALLER, Actor, Refusal, RouteHandler
from config.settings import AuthSettings
from plugins.auth import trail
from plugins.auth.accounts import Accounts, Authority, Session
from plugins.auth.users import User
from plugins.auth.wire import (
    AccountBody,
    ListedUserAnswer,
    OwnChangeBody,
    RegistrationBody,
    SessionAnswer,
    UserAnswer,
    UserChangeBody,
    VisitorBody,
    iso,
)


class AccountRoutes:
    """HTTP over :class:`Accounts`: who may call what, bodies in, answers out."""

    def __init__(self, accounts: Accounts, settings: AuthSettings) -> None:
        self._accounts = accounts
        self._settings = settings

    def routes(self) -> Sequence[web.RouteDef]:
        return (
            web.post("/api/session", self.sign_in),
            web.delete("/api/session", self.sign_out),
            web.get("/api/me", self.me),
            web.patch("/api/me", self._noting_refusals(trail.CHANGE, self.change_me)),
            web.post("/api/users", self._noting_refusals(trail.ADD, self.register)),
            web.get("/api/users", self.everybody),
            web.patch("/api/users/{user_id}", self._noting_refusals(trail.CHANGE, self.change_user)),
        )

    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        """A token for who signed in by Basic, or by Bearer to renew; for nobody yet, a visitor's first."""
        by = self._accounts.authority(request[CALLER].identity, _address(request))
        if by is not None:
            return answer(_session_answer(await self._accounts.issue_token(by)))
        if not request.body_exists:
            raise _unauthorized()
        body = await read_body(request, VisitorBody)
        return answer(
            _session_answer(
                await self._accounts.add_visitor(name=body.name, email=body.email, address=_address(request))
            )
        )

    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        """Void the token that the call was made with; with Basic there is none to void."""
        by = Actor(_signed_in(request), _address(request))
        token = request[CALLER].token
        if token is not None:
            await self._accounts.void_token(token, by)
        return web.Response(status=204)

    async def me(self, request: web.Request) -> web.StreamResponse:
        return _user_answer(await self._accounts.find(_signed_in(request)))

    async def change_me(self, request: web.Request) -> web.StreamResponse:
        by = self._authority(request)
        body = await read_body(request, OwnChangeBody)
        if body.password is not None and body.old_password is None and by.standing.role != "visitor":
            raise Refusal("forbidden", "old_password is missing", status=403)
        changes = body.model_dump(include={"name", "email"}, exclude_unset=True)
        return _user_answer(
            await self._accounts.change_own(
                by, changes, password=body.password, old_password=body.old_password, address=_address(request)
            )
        )

    async def register(self, request: web.Request) -> web.StreamResponse:
        """Add a customer; a manager adds any account, also where registration is off."""
        by = self._accounts.authority(request[CALLER].identity, _address(request))
        body: RegistrationBody
        if _is_manager(request):
            body = manager_body = await read_body(request, AccountBody)
            role: str = manager_body.role
        else:
            if not self._settings.allow_registration:
                raise Refusal("forbidden", "registration is off; ask a manager for an account", status=403)
            body = await read_body(request, RegistrationBody)
            role = "customer"
        if body.model_extra:
            raise Refusal("forbidden", "one of the fields is not for you to set", status=403)
        user = await self._accounts.add_account(
            by,
            username=body.username,
            password=body.password,
            role=role,
            email=body.email,
            name=body.name,
            address=_address(request),
        )
        return _user_answer(user, status=201)

    async def everybody(self, request: web.Request) -> web.StreamResponse:
        _must_manage(request)
        return answer([ListedUserAnswer.of(user) for user in await self._accounts.everybody()])

    async def change_user(self, request: web.Request) -> web.StreamResponse:
        _must_manage(request)
        by = self._authority(request)
        body = await read_body(request, UserChangeBody)
        if body.cancel_bookings and body.is_active is not False:
            raise Refusal("invalid_request", "cancel_bookings: goes with is_active false alone")
        user = await self._accounts.change_user(
            by,
            request.match_info["user_id"],
            role=body.role,
            password=body.password,
            is_active=body.is_active,
            cancel_bookings=body.cancel_bookings,
            address=_address(request),
        )
        return answer(ListedUserAnswer.of(user))

    def _noting_refusals(self, action: str, handler: RouteHandler) -> RouteHandler:
        """The handler, whose refusals come to the audit trail."""

        async def noting(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except Refusal as refusal:
                by = Actor(request[CALLER].identity.user_id, _address(request))
                self._accounts.note_refusal(by, action, refusal.code)
                raise

        return noting

    def _authority(self, request: web.Request) -> Authority:
        """On what a signed-in caller acts. Refuses a guest."""
        by = self._accounts.authority(request[CALLER].identity, _address(request))
        if by is None:
            raise _unauthorized()
        return by


def _session_answer(session: Session) -> SessionAnswer:
    return SessionAnswer(token=session.token, expires_at=iso(session.expires_at), user=UserAnswer.of(session.user))


def _user_answer(user: User, status: int = 200) -> web.Response:
    return answer(UserAnswer.of(user), status=status)


def _address(request: web.Request) -> str:
    return request[CALLER].address


def _unauthorized() -> Refusal:
    return Refusal("unauthorized", "sign in first", status=401)


def _signed_in(request: web.Request) -> str:
    """The caller's user_id. Refuses a guest."""
    user_id = request[CALLER].identity.user_id
    if user_id is None:
        raise _unauthorized()
    return user_id


def _is_manager(request: web.Request) -> bool:
    return request[CALLER].identity.role == "manager"


def _must_manage(request: web.Request) -> None:
    _signed_in(request)
    if not _is_manager(request):
        raise Refusal("forbidden", "only managers may do this", status=403)
