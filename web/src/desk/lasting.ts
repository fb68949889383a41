/** What a view owns as long as it is drawn, and what it asks the box for. */

import { useEffect, useMemo, useState } from "preact/hooks";

/** Made once for each `key`, and disposed of when the key changes or the view goes. */
export function useOwned<T extends { dispose(): void }>(make: () => T, key: string): T {
  // The key alone says when another one is needed.
  const owned = useMemo(make, [key]);
  useEffect(() => () => owned.dispose(), [owned]);
  return owned;
}

/** Something that is asked for again whenever it may have changed: `key` says what, `renewed` grows. */
export function useAsked<T>(
  ask: () => Promise<T>,
  key: string,
  renewed: number,
): { value: T | null; failure: unknown; again: () => void } {
  const [state, setState] = useState<{ key: string; value: T | null; failure: unknown }>({
    key,
    value: null,
    failure: null,
  });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let isCurrent = true;
    ask().then(
      (value) => isCurrent && setState({ key, value, failure: null }),
      (failure) => isCurrent && setState((known) => ({ key, value: known.key === key ? known.value : null, failure })),
    );
    return () => {
      isCurrent = false;
    };
  }, [key, renewed, turn]);
  const isKnown = state.key === key;
  return {
    value: isKnown ? state.value : null,
    failure: isKnown ? state.failure : null,
    again: () => setTurn((before) => before + 1),
  };
}
