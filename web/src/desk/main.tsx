import { render } from "preact";
import { Box } from "../box/box";
import { App } from "./app";
import { startNavigation } from "./navigation";
import "../styles/base.css";
import "./desk.css";

// To a manager `booking/confirm/+`, which every page asks for, means everybody's bookings.
const box = new Box({ page: "desk" });
startNavigation();
box.start();
render(<App box={box} />, document.getElementById("page") as HTMLElement);
