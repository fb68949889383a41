"""The booking worker that stands beside mosquitto: paho, SQLite, one durable transaction per booking.

``python -m bench.worker PORT DATABASE`` says ``ready`` on standard output when it has subscribed, and decides
``booking/request`` until it is ended. It keeps no present for those who subscribe later: mosquitto retains one message
per topic, and all seats of a showing share one.
"""

from __future__ import annotations

import json
import socket
import sqlite3
import sys
from collections import defaultdict
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

USERNAME, PASSWORD = "worker", "worker-of-the-bench"
TIMESTAMP = "2030-01-01T00:00:00Z"

SCHEMA = """
CREATE TABLE bookings (id TEXT PRIMARY KEY, showing_id TEXT NOT NULL);
CREATE TABLE booked_seats (
    showing_id TEXT NOT NULL, seat_id TEXT NOT NULL, booking_id TEXT NOT NULL REFERENCES bookings (id),
    UNIQUE (showing_id, seat_id)
);
"""


class Worker:
    def __init__(self, port: int, database: str) -> None:
        self._db = sqlite3.connect(database, isolation_level=None, cached_statements=64)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(SCHEMA)
        self._versions: defaultdict[str, int] = defaultdict(int)
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="worker")
        self._client.username_pw_set(USERNAME, PASSWORD)
        self._client.on_socket_open = self._no_delay
        self._client.on_connect = self._connected
        self._client.on_subscribe = self._subscribed
        self._client.on_message = self._requested
        self._client.connect("127.0.0.1", port)

    def run(self) -> None:
        self._client.loop_forever()

    @staticmethod
    def _no_delay(client: mqtt.Client, userdata: Any, sock: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _connected(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe("booking/request", qos=1)

    def _subscribed(self, *_: Any) -> None:
        print("ready", flush=True)

    def _tell_seat(self, showing_id: str, seat_id: str, status: str) -> None:
        payload = {
            "showing_id": showing_id,
            "seat_id": seat_id,
            "status": status,
            "timestamp": TIMESTAMP,
            "version": self._versions[showing_id],
        }
        self._client.publish(f"seats/status/{showing_id}", json.dumps(payload), qos=0)

    def _requested(self, client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        request = json.loads(message.payload)
        booking_id, showing_id, seat_ids = request["booking_id"], request["showing_id"], request["seat_ids"]
        status = "confirmed"
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("INSERT INTO bookings VALUES (?, ?)", (booking_id, showing_id))
            self._db.executemany(
                "INSERT INTO booked_seats VALUES (?, ?, ?)",
                [(showing_id, seat_id, booking_id) for seat_id in seat_ids],
            )
            self._db.execute("COMMIT")
        except sqlite3.IntegrityError:
            self._db.execute("ROLLBACK")
            status = "failed"
        if status == "confirmed":
            for seat_id in seat_ids:
                self._versions[showing_id] += 1
                self._tell_seat(showing_id, seat_id, "booked")
        confirmation = {"booking_id": booking_id, "status": status, "message": status, "timestamp": TIMESTAMP}
        client.publish(f"booking/confirm/{booking_id}", json.dumps(confirmation), qos=1)


def main() -> None:
    port, database = sys.argv[1:]
    Worker(int(port), database).run()


if __name__ == "__main__":
    main()
