/** A choice between the languages, each called by its own name. Needs nothing. */

import { inLanguage, LANGUAGES, language, speak } from "./language";

const NAMES = { en: "English", nl: "Nederlands" } as const;

const texts = inLanguage({ en: { label: "Language" }, nl: { label: "Taal" } });

export function LanguageSwitch() {
  return (
    // biome-ignore lint/a11y/useSemanticElements: buttons, of which one is pressed, not a form's fieldset.
    <div class="language-switch" role="group" aria-label={texts.value.label}>
      {LANGUAGES.map((one) => (
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
