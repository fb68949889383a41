"""Who is connected: known by client id and user once the gate has let them in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from broker.connection import Connection, End


class Clients:
    """The living connections. ``arrived`` and ``left`` frame every one, ``entered`` those that the gate let in."""

    def __init__(self) -> None:
        self._open: set[Connection] = set()
        self._revoked_meanwhile: dict[Connection, set[str]] = {}
        self._by_client_id: dict[str, Connection] = {}
        self._by_user: dict[str, set[Connection]] = {}
        self._by_role: dict[str, set[Connection]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._open)

    def arrived(self, connection: Connection) -> None:
        self._open.add(connection)
        self._revoked_meanwhile[connection] = set()

    def left(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._revoked_meanwhile.pop(connection, None)

    async def enter(self, connection: Connection) -> None:
        """Let a client in under its client id. One that has it already ends first, whole (MQTT-3.1.4-2)."""
        if connection.user in self._revoked_meanwhile.pop(connection, ()):
            connection.end(End.REVOKED)  # it was identified as somebody whom its user no longer is
            return
        if connection.user is not None:  # first of all, so that it can be revoked from now on
            self._by_user.setdefault(connection.user, set()).add(connection)
            self._by_role.setdefault(connection.identity.role, set()).add(connection)
        while (older := self._by_client_id.get(connection.client_id)) is not None:
            older.end(End.TAKEN_OVER)
            await older.wait_ended()
        self._by_client_id[connection.client_id] = connection

    def leave(self, connection: Connection) -> None:
        if self._by_client_id.get(connection.client_id) is connection:
            del self._by_client_id[connection.client_id]
        if connection.user is not None:
            _discard(self._by_user, connection.user, connection)
            _discard(self._by_role, connection.identity.role, connection)

    def users_of_role(self, role: str) -> Iterable[str]:
        """The users who are connected in a role. After its change a user is in both, for as long as a connection of the
        time before is going down."""
        return {connection.user for connection in self._by_role.get(role, ()) if connection.user is not None}

    def is_connected(self, user_id: str) -> bool:
        return user_id in self._by_user

    async def end_user(self, user_id: str) -> None:
        """End a user's connections; returns when nothing of them is left."""
        for revoked in self._revoked_meanwhile.values():  # whoever is being identified may be the user
            revoked.add(user_id)
        await self._end(self._by_user.get(user_id, ()), End.REVOKED)

    async def end_all(self) -> None:
        await self._end(self._open, End.SHUTDOWN)

    async def _end(self, connections: Iterable[Connection], how: End) -> None:
        ending = list(connections)
        for connection in ending:
            connection.end(how)
        for connection in ending:
            await connection.wait_ended()


def _discard(groups: dict[str, set[Connection]], key: str, connection: Connection) -> None:
    """Take a connection out of its group, of which nothing stays behind when it was the last."""
    if (group := groups.get(key)) is not None:
        group.discard(connection)
        if not group:
            del groups[key]
