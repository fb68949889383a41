import { render } from "preact";
import { Box } from "../box/box";
import { speakAs } from "../shared/language";
import { App } from "./app";
import { startNavigation } from "./navigation";
import "../styles/base.css";
import "./desk.css";

// To a manager `booking/confirm/+`, which every page asks for, means everybody's bookings.
const box = new Box({ page: "desk" });
speakAs(box.cinema);
startNavigation();
box.start();
render(<App box={box} />, document.getElementById("page") as HTMLElement);
