import type { Pause } from "../domain/setting.ts";
import type { Api, ApiContext } from "./context.ts";
import { time } from "./render.ts";
import * as schemas from "./schemas.ts";

const tag = "operation";

/** All deliveries held, and let go: for a restored hookd, and for moving one. `GET /readyz` tells which. */
export function pauseRoutes(api: Api, context: ApiContext): void {
  const { engine, log } = context;

  api.route({
    method: "POST",
    url: "/pause",
    config: {
      operationId: "pause",
      summary: "Take events, and send nothing until resumed, also after a restart",
      tag,
      scope: "admin",
    },
    schema: { response: { 200: schemas.Pause } },
    async handler() {
      const pause = await engine.pause();
      log.warn({ since: time(pause.since) }, "hookd was paused: it takes events and sends nothing");
      return shownPause(pause);
    },
  });

  api.route({
    method: "POST",
    url: "/resume",
    config: {
      operationId: "resume",
      summary: "Send again: everything that is due goes out",
      tag,
      scope: "admin",
    },
    schema: { response: { 200: schemas.Resumed } },
    async handler() {
      const pause = await engine.getPause();
      await engine.resume();
      if (pause !== null) log.info({ reason: pause.reason }, "hookd was resumed: deliveries go out");
      return { was_paused: shownPause(pause) };
    },
  });
}

export function shownPause(pause: Pause | null) {
  return pause === null ? null : { reason: pause.reason, since: time(pause.since) };
}
