/** What a screen in a foyer does otherwise than a browser on a desk: nothing pops up, is torn off or goes dark. */

export function behave(): void {
  for (const surprise of ["contextmenu", "dragstart", "gesturestart"]) {
    addEventListener(surprise, (event) => event.preventDefault());
  }
  // A pinch on a touchpad comes as a wheel with Ctrl. Zooming by the keyboard stays possible.
  addEventListener("wheel", (event) => event.ctrlKey && event.preventDefault(), { passive: false });
  void stayAwake();
  document.addEventListener("visibilitychange", () => void stayAwake());
}

/** Browsers have this where a page came over TLS or from the machine itself; elsewhere the machine's settings must do. */
async function stayAwake(): Promise<void> {
  if (document.visibilityState !== "visible") return;
  try {
    await navigator.wakeLock?.request("screen");
  } catch {
    // A battery that runs low is a reason to refuse; it is asked again when the page is seen again.
  }
}
