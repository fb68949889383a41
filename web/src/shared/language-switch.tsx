/** A choice between the languages, each called by its own name; nothing where there is only one. Needs nothing. */

import { inLanguage, language, speak, spoken } from "./language";

const NAMES = { en: "English", nl: "Nederlands" } as const;

const texts = inLanguage({ en: { label: "Language" }, nl: { label: "Taal" } });

export function LanguageSwitch() {
  if (spoken.value.length < 2) return null;
  return (
    // biome-ignore lint/a11y/useSemanticElements: buttons, of which one is pressed, not a form's fieldset.
    <div class="language-switch" role="group" aria-label={texts.value.label}>
      {spoken.value.map((one) => (
        <button
          key={one}
          type="button"
          lang={one}
          // What is seen is in what is heard, for who says what to press (WCAG 2.5.3).
          aria-label={`${one.toUpperCase()}, ${NAMES[one]}`}
          aria-pressed={language.value === one}
          onClick={() => speak(one)}
        >
          {one.toUpperCase()}
        </button>
      ))}
    </div>
  );
}
