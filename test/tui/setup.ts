import { HOOKD, startDaemon } from "../support/daemon.ts";
import { startReceiver } from "../support/receiver.ts";
import { openTerminal, type TerminalOptions } from "../support/terminal.ts";

/** A daemon, a receiver that it delivers to, and hookd's own screens in a real terminal. */
export async function setup() {
  const receiver = await startReceiver();
  const daemon = await startDaemon();
  const env = { HOOKD_SERVER: daemon.server, HOOKD_API_KEY: daemon.key };

  return {
    receiver,
    daemon,
    env,
    async register(event_id: string, more: object = {}): Promise<string> {
      const body = { event_id, callback_url: `${receiver.url}/${event_id}`, ...more };
      const { json } = await daemon.call("POST", "/v1/webhooks", body);
      return json.id;
    },
    /** The id of its delivery. */
    async publish(event_id: string): Promise<string> {
      const { json } = await daemon.call("POST", "/v1/events", { event_id, payload: { n: 1 } });
      return json.deliveries[0].id;
    },
    terminal: (args: readonly string[], options: TerminalOptions = {}) =>
      openTerminal([HOOKD, ...args], { ...options, env: { ...env, ...options.env } }),
  };
}
