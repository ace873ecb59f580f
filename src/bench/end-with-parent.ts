import type { ChildProcess } from "node:child_process";

const END_WITH_PARENT = "end with your parent";

/**
 * A daemon that outlives the bench that measured it would go on sending to receivers that are gone. The bench cannot
 * end it when it is itself killed by SIGKILL; the system closes the channel between both all the same. A daemon that
 * somebody else started with a channel (a process manager) is never told this, and outlives its parent.
 */
export function tellToEndWithParent(child: ChildProcess): void {
  if (!child.connected) return;
  // One that is gone already hears nothing, and its end tells.
  child.send(END_WITH_PARENT, () => undefined);
  child.channel?.unref();
}

/** In the child, as early as it can be. */
export function endWithParentWhenTold(): void {
  if (!process.connected) return;
  process.on("message", (message) => {
    if (message === END_WITH_PARENT) process.once("disconnect", () => process.exit(1));
  });
}
