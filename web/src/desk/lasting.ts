/** What a view owns as long as it is drawn, and what it asks the box for. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useDesk } from "./context";

/** Made once for each `key`, and disposed of when the key changes or the view goes. */
export function useOwned<T extends { dispose(): void }>(make: () => T, key: string): T {
  // The key alone says when another one is needed.
  const owned = useMemo(make, [key]);
  useEffect(() => () => owned.dispose(), [owned]);
  return owned;
}

/** What follows from the box's clock; the view is drawn anew once it is something else. */
export function useByClock<T extends string | boolean>(what: (now: number) => T): T {
  const { box } = useDesk();
  const [, redraw] = useState(0);
  const drawn = useRef({ what, value: what(box.now()) });
  drawn.current = { what, value: what(box.now()) };
  useEffect(() => {
    const clock = setInterval(() => {
      if (drawn.current.what(box.now()) !== drawn.current.value) redraw((before) => before + 1);
    }, 1_000);
    return () => clearInterval(clock);
  }, [box]);
  return drawn.current.value;
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
