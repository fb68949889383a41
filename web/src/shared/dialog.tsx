/**
 * A dialog above the page: open as long as it is drawn. Needs a `title`; `onClose` is called when it is left by Escape,
 * its cross, or a click beside it. Without `onClose`, or while `isStaying`, it stays until whoever opened it takes it
 * away. The focus goes to the first field or button in it (or to what has `autofocus`), and back to where it was.
 */

import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";
import { inLanguage } from "./language";

const texts = inLanguage({ en: { close: "Close" }, nl: { close: "Sluiten" } });

export interface DialogProps {
  title: string;
  onClose?: () => void;
  isStaying?: boolean;
  children: ComponentChildren;
}

export function Dialog({ title, onClose, isStaying = false, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const leave = isStaying ? undefined : onClose;
  const isPressedBeside = useRef(false);
  /** Also what is beside it is said to be in it: only where it is tells. */
  const isBeside = ({ target, clientX: x, clientY: y }: MouseEvent): boolean => {
    const edges = dialog.current?.getBoundingClientRect();
    if (target !== dialog.current || edges === undefined) return false;
    return x < edges.left || x > edges.right || y < edges.top || y > edges.bottom;
  };
  useLayoutEffect(() => {
    const opened = dialog.current;
    const before = document.activeElement;
    opened?.showModal();
    opened?.querySelector<HTMLElement>("[autofocus], input, select, textarea, .dialog-foot button")?.focus();
    return () => {
      opened?.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape does what a click beside the dialog does.
    <dialog
      class="dialog"
      ref={dialog}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        leave?.();
      }}
      // Whoever marks what is in a field may let go of it beside the dialog.
      onPointerDown={(event) => {
        isPressedBeside.current = isBeside(event);
      }}
      onClick={(event) => {
        if (isPressedBeside.current && isBeside(event)) leave?.();
      }}
    >
      <div class="dialog-head">
        <h2 id={id}>{title}</h2>
        {leave !== undefined && (
          <button class="close" type="button" aria-label={texts.value.close} onClick={leave}>
            <svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true">
              <path d="M5 5l14 14M19 5 5 19" stroke="currentColor" stroke-width="2" stroke-linecap="round" />
            </svg>
          </button>
        )}
      </div>
      {children}
    </dialog>
  );
}
