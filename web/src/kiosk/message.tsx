/** A few calm words in the middle of the screen. `isWaiting` shows that something goes on by itself. */

import type { ComponentChildren } from "preact";
import { Heading } from "./heading";

interface MessageProps {
  heading: string;
  text?: string | undefined;
  isWaiting?: boolean;
  children?: ComponentChildren;
}

export function Message({ heading, text, isWaiting = false, children }: MessageProps) {
  return (
    <div class="message">
      {isWaiting && (
        <div class="lamps" aria-hidden="true">
          <span />
          <span />
          <span />
        </div>
      )}
      <Heading>{heading}</Heading>
      {text !== undefined && <p class="soft">{text}</p>}
      {children}
    </div>
  );
}
