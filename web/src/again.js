// The box was too full for a file of this page, or went while it was sent. A stylesheet is asked for again; without a
// script nothing is there yet, and the page begins anew once the box answers. One that has come is never begun anew.
{
  const isSecondTry = performance.getEntriesByType("navigation")[0]?.type === "reload";
  let pause = isSecondTry ? 8000 : 2000;
  const later = (act) => setTimeout(act, pause * (1 + Math.random()));
  const begin = () =>
    fetch(location.pathname, { method: "HEAD", cache: "no-store" }).then(
      ({ ok }) => (ok ? location.reload() : later(begin)),
      () => later(begin),
    );
  addEventListener(
    "error",
    ({ target }) => {
      if (target instanceof HTMLScriptElement) {
        document.getElementById("page")?.append(navigator.language.startsWith("nl") ? "Even geduld…" : "One moment…");
        later(begin);
      } else if (target instanceof HTMLLinkElement && target.rel === "stylesheet") {
        later(() => target.replaceWith(target.cloneNode()));
        pause = Math.min(pause * 2, 60_000);
      }
    },
    true,
  );
}
