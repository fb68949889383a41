import { render } from "preact";

render(<main>The pages are under way.</main>, document.getElementById("page") as HTMLElement);
