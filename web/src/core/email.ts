/** E-mail addresses, as far as one sees it of them. */

/** The box takes no longer one. */
export const LONGEST_EMAIL = 254;

const EMAIL = /^[^\s@<>()[\],;:\\"]+@[^\s@<>()[\],;:\\".]+(\.[^\s@<>()[\],;:\\".]+)+$/;

/** Whether the box would take it for an address (plugins/auth/wire.py says the same). */
export const isEmail = (text: string): boolean => text.trim().length <= LONGEST_EMAIL && EMAIL.test(text.trim());
