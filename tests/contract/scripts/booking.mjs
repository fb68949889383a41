// Books with mqtt.js: node booking.mjs URL USERNAME PASSWORD QOS REQUEST. It prints what it was told, and then whether
// the request was acknowledged to its end: at QoS 2 that is PUBREC, PUBREL and PUBCOMP.
import mqtt from "mqtt";

const [url, username, password, qos, request] = process.argv.slice(2);
const client = mqtt.connect(url, { username, password });
const told = new Promise((resolve) => client.once("message", resolve));
client.on("message", (topic, payload) => console.log(payload.toString()));
client.on("error", (error) => {
  console.error(error.message);
  process.exit(1);
});
client.on("connect", async (connack) => {
  const granted = await client.subscribeAsync("booking/confirm/+", { qos: 2 });
  await client.publishAsync("booking/request", request, { qos: Number(qos) });
  console.log(JSON.stringify({ acknowledged: true, granted: granted[0].qos, sessionPresent: connack.sessionPresent }));
  await told; // at QoS 0 it is still to come
  await client.endAsync();
});
