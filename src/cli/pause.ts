import type { Command } from "commander";
import type { PauseBody } from "../http-api.ts";
import type { Client } from "./client.ts";
import { addClientOptions, addCommand, runClient } from "./command.ts";
import { Failure } from "./failure.ts";

export function addPauseCommand(program: Command): void {
  const command = addCommand(program, "pause", "Take events and send nothing, until resumed", [
    "hookd pause",
  ]).action(
    runClient<[]>(async ({ client, terminal }) => {
      const answer = await client.call<PauseBody>({ method: "POST", path: "/pause" });
      if (client.isJson) return terminal.json(answer.text);
      terminal.line(`Paused since ${answer.body.since}: events are taken, nothing is sent.`, "yellow");
      terminal.note("It stays so after a restart. Go on with: hookd resume");
    }),
  );
  addClientOptions({ commands: [command] });
}

export function addResumeCommand(program: Command): void {
  const command = addCommand(program, "resume", "Send again, after a pause or a restore", [
    "hookd resume",
  ]).action(
    runClient<[]>(async ({ client, terminal }) => {
      const answer = await client.call<{ was_paused: PauseBody | null }>({ method: "POST", path: "/resume" });
      if (client.isJson) return terminal.json(answer.text);
      if (answer.body.was_paused === null) terminal.line("hookd was not paused.");
      else terminal.line("Resumed: everything that is due goes out.", "green");
    }),
  );
  addClientOptions({ commands: [command] });
}

/** Since when and why hookd as a whole sends nothing; null while it sends, or is too busy to say. */
export async function readPause(client: Client): Promise<PauseBody | null> {
  try {
    const request = { method: "GET", path: "/readyz", isUnversioned: true } as const;
    return (await client.call<{ paused: PauseBody | null }>(request)).body.paused;
  } catch (error) {
    if (error instanceof Failure && error.isPassing) return null;
    throw error;
  }
}
