/** What a page keeps in the browser by its own name. A browser that keeps nothing is one in which nothing was kept. */

import * as v from "valibot";

export class Memory {
  /** `storage` is asked anew each time: a browser that forbids it raises already where it is named. */
  constructor(
    private readonly page: string,
    private readonly storage: () => Storage,
  ) {}

  get<S extends v.GenericSchema>(name: string, schema: S): v.InferOutput<S> | null {
    try {
      const kept = v.safeParse(schema, JSON.parse(this.storage().getItem(this.key(name)) ?? "null"));
      return kept.success ? kept.output : null;
    } catch {
      return null;
    }
  }

  set(name: string, value: unknown): void {
    try {
      if (value === null) this.storage().removeItem(this.key(name));
      else this.storage().setItem(this.key(name), JSON.stringify(value));
    } catch {
      // The page does without.
    }
  }

  /** Under which name the browser keeps it. */
  key(name: string): string {
    return `lynrie.${this.page}.${name}`;
  }
}
