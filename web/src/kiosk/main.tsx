import { render } from "preact";
import { Box } from "../box/box";
import { speakAs } from "../shared/language";
import "../styles/base.css";
import "./kiosk.css";
import { Kiosk } from "./kiosk";
import { KioskPage } from "./kiosk-page";
import { behave } from "./manners";
import { renewWhenFailed, renewWhenUpdated } from "./renewal";

renewWhenFailed();
behave();
const box = new Box({ page: "kiosk", isAlone: true });
speakAs(box.cinema);
const kiosk = new Kiosk(box);
renewWhenUpdated(kiosk, box);
render(<KioskPage kiosk={kiosk} />, document.getElementById("page") as HTMLElement);
box.start();
kiosk.start();
