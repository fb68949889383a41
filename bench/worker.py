"""The booking worker that stands beside mosquitto: paho and SQLite.

``python -m bench.worker PORT DATABASE`` says ``ready`` on standard output when it has subscribed, and decides
``booking/request`` until it is ended.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from bench.decision import Decisions

USERNAME, PASSWORD = "worker", "worker-of-the-bench"


class Worker:
    def __init__(self, port: int, database: str) -> None:
        self._decisions = Decisions(database)
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="worker")
        self._client.username_pw_set(USERNAME, PASSWORD)
        self._client.max_inflight_messages_set(0)  # any number
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

    def _requested(self, client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        for topic, payload, qos in self._decisions.decide(bytes(message.payload)):
            client.publish(topic, payload, qos=qos)


def main() -> None:
    port, database = sys.argv[1:]
    Worker(int(port), database).run()


if __name__ == "__main__":
    main()
