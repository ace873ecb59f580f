import type { Ink } from "./line.ts";

/** Something that is said for a while, in place of the footer. */
export interface Notice {
  readonly text: string;
  readonly ink?: Ink | undefined;
  /** Seconds that it stays. */
  readonly ticks: number;
}

export const NOTICE_TICKS = 6;

/** A second later. */
export function olderNotice(notice: Notice | null): Notice | null {
  return notice === null || notice.ticks <= 1 ? null : { ...notice, ticks: notice.ticks - 1 };
}
