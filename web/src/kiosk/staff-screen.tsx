/** Where the house signs the kiosk in, once. */

import type { Box } from "../box/box";
import { LanguageSwitch } from "../shared/language-switch";
import { SignIn } from "../shared/sign-in";
import { Heading } from "./heading";
import { mayServe } from "./kiosk";
import { texts } from "./texts";

export function StaffScreen({ box }: { box: Box }) {
  const said = texts.value;
  return (
    <main class="screen staff">
      <div class="screen-bar">
        <p class="cinema-name display">{box.cinema.value?.name}</p>
        <LanguageSwitch />
      </div>
      <div class="card stack loose">
        <Heading>{said.staff}</Heading>
        <p class="soft">{box.signedOut.value ? said.signedOut : said.staffMore}</p>
        <SignIn box={box} isWelcome={(user) => (mayServe(user) ? null : said.notAKiosk)} />
      </div>
    </main>
  );
}
