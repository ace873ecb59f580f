import type { SigningKey } from "../../domain/sign.ts";
import type { WebhookBody } from "../../http-api.ts";
import { type Client, segment } from "../client.ts";
import { Failure, messageOf } from "../failure.ts";
import { secretKey } from "../options.ts";
import type { Terminal } from "../terminal.ts";

/** Webhooks that are there for as long as somebody listens. */
export interface Registrations {
  /** Registers `url` for an event, and says so; the key with which its deliveries are signed. */
  add(eventId: string, url: string): Promise<SigningKey>;
  /** Removes all that were added, and says of each that is left how to. True when none is. */
  removeAll(): Promise<boolean>;
}

/** Shows in `hookd webhooks get` why it is there, should it be left behind. */
const DESCRIPTION = "hookd listen --register: removed when that ends";

export function createRegistrations(
  client: Client,
  terminal: Terminal,
  options: { readonly userId: string | undefined; readonly secret: string | undefined },
): Registrations {
  const added: WebhookBody[] = [];

  async function add(eventId: string, url: string): Promise<SigningKey> {
    const { userId, secret } = options;
    const json = {
      event_id: eventId,
      callback_url: url,
      description: DESCRIPTION,
      ...(userId === undefined ? {} : { user_id: userId }),
      ...(secret === undefined ? {} : { secret }),
    };
    let webhook: WebhookBody;
    try {
      webhook = (await client.call<WebhookBody>({ method: "POST", path: "/webhooks", json })).body;
    } catch (error) {
      throw notRegistered(eventId, error);
    }
    added.push(webhook);
    terminal.note(`Registered ${webhook.id} for ${webhook.event_id} of user ${webhook.user_id}.`);
    return secretKey(webhook.secret ?? secret ?? "");
  }

  async function removeAll(): Promise<boolean> {
    let isClean = true;
    for (const { id, event_id } of added.splice(0)) {
      try {
        await client.call({ method: "DELETE", path: `/webhooks/${segment(id)}` });
        terminal.note(`Removed ${id} for ${event_id}.`);
      } catch (error) {
        // Somebody else has removed it: that is what was wanted.
        if (error instanceof Failure && error.code === "not_found") continue;
        isClean = false;
        terminal.note(`${id} for ${event_id} is still registered: ${messageOf(error)}`, "red");
        terminal.note(`Remove it: hookd webhooks remove ${id}`);
      }
    }
    return isClean;
  }

  return { add, removeAll };
}

function notRegistered(eventId: string, error: unknown): unknown {
  if (!(error instanceof Failure)) return error;
  const message = `${eventId} cannot be registered: ${error.message}`;
  const hints: Readonly<Record<string, string>> = {
    webhook_exists:
      "an event goes to one webhook of a user: remove that one (hookd webhooks list), or listen " +
      "for another user: --user",
    invalid_url: "webhooks to this machine need a hookd that was started with: hookd serve --dev",
  };
  return new Failure(message, {
    hint: hints[error.code ?? ""] ?? error.hint,
    exitCode: error.exitCode,
    cause: error,
    ...(error.code === null ? {} : { code: error.code }),
  });
}
