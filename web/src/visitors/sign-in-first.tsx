/** Instead of what a cinema shows to nobody whom it does not know. */

import { useState } from "preact/hooks";
import { inLanguage } from "../shared/language";
import { Heading } from "./heading";
import { type Way, WhoAreYou } from "./who-are-you";

const texts = inLanguage({
  en: {
    title: "Please sign in first",
    why: "Tell us who you are, and we’ll show you the programme.",
  },
  nl: {
    title: "Log eerst in",
    why: "Vertel ons wie je bent, dan laten we je het programma zien.",
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
