/** One visitor's way through the kiosk, from screen to screen: decided here; what a screen needs is fetched elsewhere. */

export type Flow =
  | { screen: "start" }
  /** Seats are chosen, and kept at once. */
  | { screen: "seats"; showingId: string }
  /** The seats are chosen; where the tickets may be sent is asked. */
  | { screen: "email"; showingId: string }
  /** The booking was asked for; it can be neither changed nor left until its outcome is known. */
  | { screen: "booking"; showingId: string }
  | { screen: "done"; showingId: string };

export type Step =
  | { step: "choose"; showingId: string }
  | { step: "go on" }
  | { step: "go back" }
  | { step: "book" }
  /** A booking that was asked for before the page was reloaded. */
  | { step: "resume"; showingId: string }
  | { step: "booked" }
  | { step: "refused" }
  /** No seat is left of those that were chosen: they ran out, or somebody else has them. */
  | { step: "seats lost" }
  | { step: "leave" }
  /** The house is signed out. A booking under way waits for who signs in again. */
  | { step: "signed out" };

export const START: Flow = { screen: "start" };

/** The screen after a step. A step that has no place on a screen, such as a second touch of a button that is on its way
 * out, changes nothing and gives back the same object. */
export function stepped(flow: Flow, step: Step): Flow {
  if (step.step === "signed out") return START;
  switch (flow.screen) {
    case "start":
      if (step.step === "choose") return { screen: "seats", showingId: step.showingId };
      if (step.step === "resume") return { screen: "booking", showingId: step.showingId };
      return flow;
    case "seats":
      if (step.step === "go on") return { ...flow, screen: "email" };
      return step.step === "leave" ? START : flow;
    case "email":
      if (step.step === "book") return { ...flow, screen: "booking" };
      if (step.step === "go back" || step.step === "seats lost") return { ...flow, screen: "seats" };
      return step.step === "leave" ? START : flow;
    case "booking":
      if (step.step === "booked") return { ...flow, screen: "done" };
      return step.step === "refused" ? { ...flow, screen: "seats" } : flow;
    case "done":
      return step.step === "leave" ? START : flow;
  }
}

/** What being left alone leads to: nothing, the question whether anybody is there, or simply the start. */
export function whenAlone(flow: Flow): "nothing" | "ask" | "leave" {
  switch (flow.screen) {
    case "seats":
    case "email":
      return "ask";
    case "done":
      return "leave";
    default:
      return "nothing";
  }
}
