/** A view's heading: names the document, and takes the focus when the view has been gone to. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { box } from "./page";
import { hasMoved } from "./route";

export function Heading({ title, children }: { title: string; children?: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null);
  const cinema = box.cinema.value?.name;
  useEffect(() => {
    document.title = cinema === undefined ? title : `${title} · ${cinema}`;
  }, [title, cinema]);
  useEffect(() => {
    if (!hasMoved.peek()) return;
    scrollTo(0, 0);
    heading.current?.focus({ preventScroll: true });
  }, []);
  return (
    <h1 ref={heading} tabIndex={-1}>
      {children ?? title}
    </h1>
  );
}

/** For when what had the focus is gone. */
export function focusHeading(): void {
  document.querySelector<HTMLElement>("main h1")?.focus({ preventScroll: true });
}
