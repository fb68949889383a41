/** What is asked of the box by somebody who waits for what comes of it. */

import { useRef, useState } from "preact/hooks";

export interface Asking {
  isBusy: boolean;
  /** What was raised last, until it is asked again. */
  failure: unknown;
  /** Do it, unless something is under way already. Resolves with whether it worked. */
  run(what: () => Promise<unknown>): Promise<boolean>;
  forget(): void;
}

/** One thing at a time that is asked of the box, and what came of it. */
export function useAsking(): Asking {
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>(null);
  const busy = useRef(false);
  const run = async (what: () => Promise<unknown>): Promise<boolean> => {
    if (busy.current) return false;
    busy.current = true;
    setBusy(true);
    setFailure(null);
    try {
      await what();
      return true;
    } catch (raised) {
      setFailure(raised);
      return false;
    } finally {
      busy.current = false;
      setBusy(false);
    }
  };
  return { isBusy, failure, run, forget: () => setFailure(null) };
}
