import { workerData } from "node:worker_threads";
import { replaceConfig } from "../config/changes.ts";
import type { Config } from "../config/config.ts";
import { type AddressPolicy, compileAddressPolicy } from "../domain/address.ts";
import { createSealer } from "../domain/seal.ts";
import { ByteWriter } from "../lib/bytes.ts";
import { systemClock } from "../lib/clock.ts";
import { openFilesMax } from "../lib/open-files.ts";
import { Pacer } from "../lib/pacer.ts";
import { systemTimers } from "../lib/timers.ts";
import { createSender, type SenderRules } from "../sender/http-sender.ts";
import {
  type FromSender,
  MESSAGE_ENTRIES_MAX,
  MESSAGE_EVERY_MS,
  type SenderData,
  type ToSender,
} from "./messages.ts";
import { OwnFailures } from "./own-failures.ts";
import { decodeOrders, writeAttemptOutcome } from "./send-codec.ts";

/** Entry of a sender's thread: takes orders, and reports the outcomes of a moment in one message. */
const data = workerData as SenderData;
const { config, port } = data;
let policy = policyOf(config);
const sealer = createSealer(data.masterKey, () => {
  throw new Error("a sender opens secrets and seals none");
});
const writer = new ByteWriter(32_768);
const FILES_KEPT = 8_192;
let gathered = 0;
const outcomes = new Pacer(flush, MESSAGE_EVERY_MS, systemClock, systemTimers);
const failures = new OwnFailures(systemClock, systemTimers, (report) => {
  port.postMessage({ kind: "failures", ...report } satisfies FromSender);
});

const sender = createSender(
  {
    clock: systemClock,
    version: data.version,
    ...rulesOf(config),
    allowLoopback: config.net.allowLoopback,
    caFile: config.net.caFile,
    open: (sealed) => sealer.open(sealed),
    onFailure: (outcome, failure) => failures.add(outcome.deliveryId, failure),
  },
  (outcome) => {
    writeAttemptOutcome(writer, outcome);
    gathered += 1;
    outcomes.ask();
    if (gathered >= MESSAGE_ENTRIES_MAX) outcomes.hurry();
  },
);

function rulesOf({ net, delivery }: Config): SenderRules {
  return {
    policy,
    allowHttp: net.allowHttp,
    dnsServers: net.dnsServers,
    excerptBytes: delivery.responseExcerptBytes,
    idleConnectionsMax: Math.min(net.idleConnectionsMax, spareFiles()),
  };
}

function policyOf({ net }: Config): AddressPolicy {
  const { allow, allowLoopback, nat64 } = net;
  return compileAddressPolicy({ allow, allowLoopback, nat64, own: data.ownAddresses });
}

function changeConfig(next: Config): void {
  // Another policy closes connections: only where something is said about where to connect.
  const isNetChanged = JSON.stringify(config.net) !== JSON.stringify(next.net);
  replaceConfig(config, next);
  if (isNetChanged) policy = policyOf(config);
  sender.changeRules(rulesOf(config));
}

/** What this sender's idle connections may take of the open files: attempts in flight, publishers and the store need theirs. */
function spareFiles(): number {
  const allowed = openFilesMax();
  return Math.floor(Math.max(allowed / 4, allowed - FILES_KEPT) / data.senders);
}

function flush(): void {
  if (writer.length === 0) return;
  gathered = 0;
  const bytes = writer.take();
  port.postMessage({ kind: "outcomes", bytes } satisfies FromSender, [bytes.buffer]);
}

port.on("message", (message: ToSender) => {
  switch (message.kind) {
    case "orders":
      sender.send(decodeOrders(message.bytes));
      break;
    case "target":
      sender.putTarget(message.target);
      break;
    case "drop":
      sender.dropTarget(message.webhookId);
      break;
    case "config":
      changeConfig(message.config);
      break;
    case "stop":
      stop().catch((error) => {
        throw error;
      });
      break;
  }
});

async function stop(): Promise<void> {
  await sender.stop();
  flush();
  port.postMessage({ kind: "stopped" } satisfies FromSender);
}
