/** Instead of what a cinema shows to nobody whom it does not know. */

import { useState } from "preact/hooks";
import { inLanguage } from "../shared/language";
import { Heading } from "./heading";
import { type Way, WhoAreYou } from "./who-are-you";

const texts = inLanguage({
  en: {
    title: "Please sign in first",
    why: "This cinema shows its programme only to people who have said who they are.",
  },
  nl: {
    title: "Log eerst in",
    why: "Deze bioscoop laat het programma alleen zien aan wie heeft gezegd wie hij of zij is.",
  },
});

export function SignInFirst() {
  const [way, setWay] = useState<Way>("visit");
  const said = texts.value;
  return (
    <div class="wide narrow stack">
      <Heading title={said.title} />
      <p class="soft">{said.why}</p>
      <WhoAreYou way={way} onWay={setWay} />
    </div>
  );
}
