import { render } from "preact";
import "../styles/base.css";

render(<main>The pages are under way.</main>, document.getElementById("page") as HTMLElement);
