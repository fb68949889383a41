/** One connection to the box by MQTT over WebSocket, from its CONNECT to its end. mqtt.js does it; when to make the next
 * one is not its business here. */

import type { IClientOptions } from "mqtt";

/** How long a connection may take to be made, and how long the box may be silent before it is asked: milliseconds. */
const CONNECT_PATIENCE = 8_000;
const KEEP_ALIVE = 30;

export interface Handlers {
  opened(): void;
  /** `kept`: it came with RETAIN, as a part of the present. */
  said(topic: string, payload: string, kept: boolean): void;
  /** It has ended or could not be made; nothing comes after this. Whether the box refused who asked is better asked over
   * HTTP, which says why. */
  ended(): void;
}

export interface Connection {
  subscribe(filters: readonly string[]): void;
  unsubscribe(filter: string): void;
  publish(topic: string, payload: string): void;
  end(): void;
}

/** Begin a connection. `as` is a user's id and token, or null for a guest. */
export async function connect(
  url: string,
  as: { userId: string; token: string } | null,
  handlers: Handlers,
): Promise<Connection> {
  const { default: mqtt } = await import("mqtt");
  const options: IClientOptions = {
    protocolVersion: 4,
    clean: true,
    reconnectPeriod: 0,
    resubscribe: false,
    connectTimeout: CONNECT_PATIENCE,
    keepalive: KEEP_ALIVE,
    timerVariant: "native", // a worker made of a blob is nothing that the page's policy allows
    ...(as === null ? {} : { username: as.userId, password: as.token }),
  };
  const client = mqtt.connect(url, options);
  let isOver = false;
  const over = () => {
    if (isOver) return;
    isOver = true;
    client.end(true);
    handlers.ended();
  };
  client.on("connect", () => {
    if (!isOver) handlers.opened();
  });
  client.on("message", (topic, payload, packet) => {
    if (!isOver) handlers.said(topic, new TextDecoder().decode(payload), packet.retain);
  });
  client.on("error", over);
  client.on("close", over);
  return {
    subscribe: (filters) => void client.subscribe([...filters], { qos: 1 }),
    unsubscribe: (filter) => void client.unsubscribe(filter),
    publish: (topic, payload) => void client.publish(topic, payload, { qos: 1 }, () => {}),
    end: over,
  };
}
