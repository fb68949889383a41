// The box was too full for a file of this page, or went while it was sent: the page begins anew once it is there.
{
  const begin = () =>
    fetch(location.pathname, { method: "HEAD", cache: "no-store" }).then(
      ({ ok }) => (ok ? location.reload() : later()),
      () => later(),
    );
  const later = () => setTimeout(begin, 2000 + 3000 * Math.random());
  let isDue = false;
  addEventListener(
    "error",
    ({ target }) => {
      if (isDue || !(target instanceof Element) || document.querySelector("#page > *")) return;
      isDue = true;
      document.getElementById("page")?.append(navigator.language.startsWith("nl") ? "Even geduld…" : "One moment…");
      later();
    },
    true,
  );
}
