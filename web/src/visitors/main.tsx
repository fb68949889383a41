/** The audience's page at `/`. */

import { render } from "preact";
import { speakAs } from "../shared/language";
import { App } from "./app";
import { box, orders } from "./page";
import { route } from "./route";
import "../styles/base.css";
import "./visitors.css";

speakAs(box.cinema);
box.start();
orders.begin(route.value.view === "showing");
render(<App />, document.getElementById("page") as HTMLElement);
