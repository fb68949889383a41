/** What every view works with. */

import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Box } from "../box/box";
import type { Cinema, User } from "../box/wire";
import type { News } from "./news";
import type { Programme } from "./programme";
import type { Sales } from "./sales";

export interface Desk {
  box: Box;
  cinema: Cinema;
  /** The manager who works here. */
  user: User;
  programme: Programme;
  news: News;
  sales: Sales;
}

export const DeskContext = createContext<Desk | null>(null);

export function useDesk(): Desk {
  const desk = useContext(DeskContext);
  if (desk === null) throw new Error("There is no desk around this view.");
  return desk;
}
