/** Small parts of the views. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { addressOf, type Route } from "./route";
import { whyText } from "./sentences";
import { texts } from "./texts";

/** The heading of a view: gets the focus when one comes from another view, and names the window. */
export function Heading({ children, name, isNew }: { children: ComponentChildren; name: string; isNew: boolean }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (isNew) heading.current?.focus();
  }, []);
  useEffect(() => {
    document.title = `${name} · ${texts.value.frame.desk}`;
  }, [name]);
  return (
    <h1 ref={heading} tabIndex={-1}>
      {children}
    </h1>
  );
}

export interface ActionProps {
  children: ComponentChildren;
  onClick?: () => void;
  type?: "button" | "submit";
  kind?: "main" | "bad" | "bare" | "";
  isSmall?: boolean;
  /** Whether it is under way; `busy` says so. It cannot be pressed then, and keeps the focus. */
  isBusy?: boolean;
  busy?: string;
  isDisabled?: boolean;
  label?: string | undefined;
}

export function Action(props: ActionProps) {
  const { children, onClick, type = "button", kind = "", isSmall = false, isBusy = false, isDisabled = false } = props;
  const isOff = isBusy || isDisabled;
  return (
    <button
      class={`button ${kind}${isSmall ? " small" : ""}`}
      type={type}
      aria-disabled={isOff ? "true" : undefined}
      aria-label={isBusy ? undefined : props.label}
      onClick={(event) => {
        if (isOff) event.preventDefault();
        else onClick?.();
      }}
    >
      {isBusy ? (props.busy ?? children) : children}
    </button>
  );
}

export interface GoProps {
  to: Route;
  children: ComponentChildren;
  class?: string;
  isCurrent?: boolean;
}

export function Go({ to, children, class: name, isCurrent = false }: GoProps) {
  return (
    <a class={name} href={addressOf(to)} aria-current={isCurrent ? "page" : undefined}>
      {children}
    </a>
  );
}

/** Why something did not work, read aloud at once; nothing where nothing is wrong. `text` says it better than the
 * code alone. */
export function Failure({ of, text, again }: { of: unknown; text?: string | null; again?: () => void }) {
  if (of === null || of === undefined) return null;
  return (
    <div class="notice bad" role="alert">
      <p>{text ?? whyText(of)}</p>
      {again !== undefined && (
        <Action isSmall onClick={again}>
          {texts.value.frame.later}
        </Action>
      )}
    </div>
  );
}

/** How full something is: a bar for the eye, and words for all. */
export function Fullness({ taken, all }: { taken: number; all: number }) {
  const said = texts.value.today;
  const share = all === 0 ? 0 : Math.min(1, taken / all);
  return (
    <span class="fullness">
      <span class="fullness-bar" aria-hidden="true">
        <span style={{ width: `${share * 100}%` }} />
      </span>
      <span class="figures">
        {said.taken(taken, all)}
        {all > 0 && taken >= all && ` · ${said.full}`}
      </span>
    </span>
  );
}
