/** Keys for an e-mail address, on a screen that has no others. They write at the end, and leave the focus where it is. */

import { KEY_ROWS, type Key } from "./email";
import { texts } from "./texts";

export function Keyboard({ onKey }: { onKey: (key: Key) => void }) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: keys that belong together, not a form's fieldset.
    <div class="keyboard" role="group" aria-label={texts.value.keyboard}>
      {KEY_ROWS.map((row) => (
        <div class="keyboard-row" key={nameOf(row[0])}>
          {row.map((key) => (
            <button
              key={nameOf(key)}
              type="button"
              class="key"
              data-kind={key.kind}
              aria-label={key.kind === "backspace" ? texts.value.backspace : undefined}
              // At once, and for each of two thumbs: a click comes only from a finger that is alone.
              onPointerDown={(event) => {
                event.preventDefault();
                if (event.button === 0) onKey(key);
              }}
              onMouseDown={(event) => event.preventDefault()}
              // Without a pointer: the keyboard, or who presses for somebody.
              onClick={(event) => event.detail === 0 && onKey(key)}
            >
              {key.kind === "backspace" ? <Backspace /> : key.text}
            </button>
          ))}
        </div>
      ))}
    </div>
  );
}

const nameOf = (key: Key | undefined): string => (key === undefined || key.kind === "backspace" ? "⌫" : key.text);

const Backspace = () => (
  <svg viewBox="0 0 24 24" width="36" height="36" aria-hidden="true">
    <path
      d="M8 5h12v14H8l-6-7zM11 9l6 6M17 9l-6 6"
      fill="none"
      stroke="currentColor"
      stroke-width="1.8"
      stroke-linecap="round"
      stroke-linejoin="round"
    />
  </svg>
);
