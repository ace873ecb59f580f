import { plural } from "../../lib/format.ts";
import type { Cell, Colour, Terminal } from "../terminal.ts";
import { prettyJson } from "./pretty-json.ts";
import type { ReceivedDelivery } from "./receiver.ts";

/** Of a body, in characters: what fits beside the rest of the line. */
const EXCERPT_MAX = 200;
/** On a terminal, of one body: more than that scrolls away what came before. */
const LINES_MAX = 100;
const LINE_LENGTH_MAX = 2_000;
/** Larger bodies are not indented: nobody reads them here. */
const PRETTY_BYTES_MAX = 256 * 1024;

const VERDICT_COLOURS: Readonly<Record<ReceivedDelivery["verdict"]["kind"], Colour>> = {
  verified: "green",
  refused: "red",
  unchecked: "yellow",
};

/** A delivery as it is read: on a terminal with its body below, indented; in a pipe a line; or as JSON. */
export function printReceived(terminal: Terminal, delivery: ReceivedDelivery, isJson: boolean): void {
  if (isJson) {
    terminal.json(JSON.stringify(jsonOf(delivery)));
  } else if (terminal.isTable) {
    terminal.cells(cellsOf(delivery, true), "  ");
    for (const line of bodyLines(delivery)) terminal.line(`  ${line}`, "dim");
  } else {
    const text = delivery.body.toString("utf8");
    const excerpt = text.length > EXCERPT_MAX ? `${text.slice(0, EXCERPT_MAX)}...` : text;
    terminal.cells([...cellsOf(delivery, false), { text: excerpt }], "\t");
  }
}

/** `isShort`: for a terminal, where all of it should fit a line: without the date, and the webhook's id. */
function cellsOf(delivery: ReceivedDelivery, isShort: boolean): Cell[] {
  const { verdict, status } = delivery;
  const time = new Date(delivery.at).toISOString();
  const isTaken = status >= 200 && status <= 299;
  const signature =
    verdict.kind === "refused" ? verdict.reason : verdict.kind === "unchecked" ? "not checked" : "verified";
  const notes = [
    ...(delivery.forwardError === null ? [] : [`not forwarded: ${delivery.forwardError}`]),
    ...(delivery.isGone ? ["the sender hung up before it was answered"] : []),
  ];
  return [
    { text: isShort ? time.slice("2026-11-22T".length) : time },
    { text: String(status), colour: isTaken ? "green" : "red" },
    { text: delivery.eventId ?? "-" },
    { text: delivery.eventUid ?? "-" },
    ...(isShort ? [] : [{ text: delivery.webhookId ?? "-" }]),
    { text: `attempt ${delivery.attempt ?? "-"}` },
    { text: signature, colour: VERDICT_COLOURS[verdict.kind] },
    ...notes.map((text): Cell => ({ text, colour: "yellow" })),
  ];
}

/** JSON indented, other text as it is, of other bytes only how many. */
function bodyLines({ body, contentType }: ReceivedDelivery): string[] {
  if (body.length === 0) return [];
  const text = body.toString("utf8");
  if (!isText(body, text)) return [`(${body.length} bytes, ${contentType ?? "no content type"})`];
  const pretty = body.length > PRETTY_BYTES_MAX ? null : prettyJson(text);
  const lines = (pretty ?? text).trimEnd().split(/\r?\n/);
  const shown = lines
    .slice(0, LINES_MAX)
    .map((line) => (line.length > LINE_LENGTH_MAX ? `${line.slice(0, LINE_LENGTH_MAX)}...` : line));
  const hidden = lines.length - shown.length;
  return hidden > 0 ? [...shown, `(${plural(hidden, "more line")}; --json has them all)`] : shown;
}

function isText(body: Buffer, text: string): boolean {
  return Buffer.from(text).equals(body);
}

function jsonOf(delivery: ReceivedDelivery) {
  const text = delivery.body.toString("utf8");
  const isUtf8 = isText(delivery.body, text);
  return {
    at: new Date(delivery.at).toISOString(),
    status: delivery.status,
    event_id: delivery.eventId,
    event_uid: delivery.eventUid,
    webhook_id: delivery.webhookId,
    attempt: delivery.attempt === null ? null : Number(delivery.attempt),
    signature: delivery.verdict.kind,
    reason: delivery.verdict.kind === "refused" ? delivery.verdict.reason : null,
    forward_error: delivery.forwardError,
    sender_gone: delivery.isGone,
    content_type: delivery.contentType,
    body: isUtf8 ? text : delivery.body.toString("base64"),
    body_encoding: isUtf8 ? "utf8" : "base64",
  };
}
