import { safeText } from "../lib/safe-text.ts";
import { isTyped, type Key } from "./keys.ts";

/** What a key does to a filter that is being typed: its new text, and whether typing is over. */
export interface FilterEdit {
  readonly filter: string;
  readonly isOver: boolean;
}

/** Null: the key is none of a filter's. */
export function editFilter(filter: string, key: Key): FilterEdit | null {
  if (isTyped(key)) return { filter: filter + safeText(key), isOver: false };
  switch (key) {
    case "backspace":
      return { filter: [...filter].slice(0, -1).join(""), isOver: false };
    case "ctrl-u":
      return { filter: "", isOver: false };
    case "escape":
      return { filter: "", isOver: true };
    case "enter":
      return { filter, isOver: true };
    default:
      return null;
  }
}
