// What LynrieScoop's page does: connect, subscribe, read what comes. It prints each message as a line.
import mqtt from "mqtt";

const client = mqtt.connect(process.argv[2]);
client.on("connect", () => client.subscribe("seats/status/#"));
client.on("message", (topic, payload) => console.log(JSON.stringify(JSON.parse(payload))));
