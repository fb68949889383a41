/**
 * A field with its label, a hint and an error, tied together for who hears them. Another control than an input
 * is drawn by `children`, which get what ties it.
 */

import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

export interface Tied {
  id: string;
  class: string;
  "aria-describedby": string | undefined;
  "aria-invalid": "true" | undefined;
}

export interface FieldProps {
  label: string;
  name?: string;
  type?: "text" | "password" | "email" | "search" | "number" | "date" | "time" | "datetime-local";
  value?: string | number;
  onInput?: (event: InputEvent & { currentTarget: HTMLInputElement }) => void;
  required?: boolean;
  disabled?: boolean;
  autofocus?: boolean;
  autocomplete?: string;
  autocapitalize?: "none" | "words";
  inputmode?: "text" | "numeric" | "decimal" | "email" | "search";
  placeholder?: string;
  pattern?: string;
  minlength?: number;
  maxlength?: number;
  min?: string | number;
  max?: string | number;
  step?: string | number;
  hint?: ComponentChildren;
  error?: string | null | undefined;
  children?: (tied: Tied) => ComponentChildren;
}

export function Field({ label, hint, error, children, ...input }: FieldProps) {
  const id = useId();
  const hasError = error !== undefined && error !== null && error !== "";
  const described = [hint === undefined ? "" : `${id}-hint`, hasError ? `${id}-error` : ""].filter(Boolean).join(" ");
  const tied: Tied = {
    id,
    class: "input",
    "aria-describedby": described === "" ? undefined : described,
    "aria-invalid": hasError ? "true" : undefined,
  };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {hint !== undefined && (
        <span class="hint" id={`${id}-hint`}>
          {hint}
        </span>
      )}
      {children === undefined ? <input {...(input as object)} {...tied} /> : children(tied)}
      {hasError && (
        <span class="error" id={`${id}-error`} role="alert">
          {error}
        </span>
      )}
    </div>
  );
}
