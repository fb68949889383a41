/** A password that is chosen, by the box's own rule of length. Needs its `label`, `name` and `hint`; `error` is what is
 * wrong with it. */

import { Field } from "./field";

export interface NewPasswordProps {
  label: string;
  name: string;
  hint: string;
  error: string | null;
}

export const NewPassword = (props: NewPasswordProps) => (
  <Field {...props} type="password" autocomplete="new-password" minlength={10} maxlength={1024} required />
);
