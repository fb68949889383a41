/**
 * How the page is joined to the box, in words; nothing while all is live. Needs the box. Put it where it is seen on
 * every view, once: it has a live region.
 */

import { useEffect, useState } from "preact/hooks";
import type { Box } from "../box/box";
import { counted, inLanguage } from "./language";

const texts = inLanguage({
  en: {
    label: "Connection",
    connecting: "Connecting…",
    polling: "Live updates are not available here; the page is refreshed every few seconds.",
    reconnecting: "There’s no connection right now. What you see may be out of date.",
    next: (seconds: number) => `Trying again in ${seconds} s.`,
    trying: "Trying now…",
    retry: "Try now",
    waiting: { one: "# request is waiting to be sent.", other: "# requests are waiting to be sent." },
  },
  nl: {
    label: "Verbinding",
    connecting: "Verbinding maken…",
    polling: "Live meekijken lukt hier niet; de pagina wordt om de paar seconden bijgewerkt.",
    reconnecting: "Er is even geen verbinding. Wat je ziet, is misschien niet meer actueel.",
    next: (seconds: number) => `Volgende poging over ${seconds} s.`,
    trying: "Nieuwe poging…",
    retry: "Nu proberen",
    waiting: { one: "# aanvraag moet nog worden verstuurd.", other: "# aanvragen moeten nog worden verstuurd." },
  },
});

/** How long a page may take to be joined before anybody is told: milliseconds. */
const UNREMARKABLE = 1_500;

export function LinkNotice({ box }: { box: Box }) {
  const link = box.link.value;
  const waiting = box.waiting.value;
  const isExpected = !mustSignIn(box);
  const isLate = useLater(isExpected && (link === "connecting" || link === "polling"), UNREMARKABLE);
  const isShown = isLate || (isExpected && link === "reconnecting");
  const said = texts.value;
  return (
    <section
      class="link-notice"
      aria-label={isShown ? said.label : undefined}
      data-link={link}
      data-shown={isShown ? "" : undefined}
    >
      <div class={isShown ? `notice ${link === "reconnecting" ? "bad" : "quiet"}` : undefined}>
        <p>
          <span role="status">{isShown && said[link as "connecting" | "polling" | "reconnecting"]}</span>
          {/* Not read aloud: it changes with each seat that is touched meanwhile. */}
          {isShown && waiting > 0 && link !== "connecting" && ` ${counted(waiting, said.waiting)}`}
        </p>
        {isShown && link === "reconnecting" && <NextTry box={box} />}
      </div>
    </section>
  );
}

function NextTry({ box }: { box: Box }) {
  const [, setTick] = useState(0);
  const next = box.nextTry.value;
  useEffect(() => {
    const clock = setInterval(() => setTick((tick) => tick + 1), 500);
    return () => clearInterval(clock);
  }, []);
  const said = texts.value;
  const seconds = next === null ? 0 : Math.ceil((next - performance.now()) / 1000);
  return (
    <>
      <span class="soft figures" aria-hidden="true">
        {seconds > 0 ? said.next(seconds) : said.trying}
      </span>
      <button class="button small" type="button" onClick={() => box.retryNow()}>
        {said.retry}
      </button>
    </>
  );
}

/** Whether the cinema shows nothing to whoever looks, because nobody is signed in: then no connection is to be had. */
export const mustSignIn = (box: Box): boolean => box.session.value === null && box.cinema.value?.allow_guests === false;

/** Whether something has been so for a while: milliseconds. */
export function useLater(isSo: boolean, after: number): boolean {
  const [isLate, setLate] = useState(false);
  useEffect(() => {
    setLate(false);
    if (!isSo) return;
    const timer = setTimeout(() => setLate(true), after);
    return () => clearTimeout(timer);
  }, [isSo, after]);
  return isSo && isLate;
}
