import type { AttemptError, DeadReason, DeliveryStatus, Verdict } from "../domain/delivery.ts";

/** What happened, in words, and what somebody can do about it; `fix` is empty where nothing needs to be done. */
export interface Words {
  readonly why: string;
  readonly fix: string;
}

/** What each state, reason, verdict and class of error means to whoever has to do something about it. */
export const STATUS_WORDS: Readonly<Record<DeliveryStatus, string>> = {
  pending: "waits for its first attempt",
  retrying: "failed, and will be tried again",
  success: "was delivered",
  dead: "ended without success, and is kept for a replay",
};

export const REASON_WORDS: Readonly<Record<DeadReason, Words>> = {
  exhausted: {
    why: "Every attempt that the retry schedule allows was used, and none was taken.",
    fix:
      "Mend what the attempts failed of, then replay. More patience is a setting: " +
      "hookd webhooks update <id> --retry.",
  },
  permanent: {
    why: "The receiver gave an answer that trying again does not change, so hookd stopped at once.",
    fix:
      "Mend the receiver or the webhook, then replay. Which answers are final is a setting: " +
      "hookd webhooks update <id> --retry ... --permanent.",
  },
  expired: {
    why: "It stayed open for longer than delivery.age_max.",
    fix: "See what held the webhook back so long (breaker, rate limit, a pause, a backlog), then replay.",
  },
  disabled: {
    why: "Its webhook was off or deleted, and hookd sends nothing there.",
    fix: "Once its webhook is on, replay it, and what ended with it.",
  },
  blocked: {
    why:
      "hookd may not connect to where the callback URL leads: the address is not public, or the " +
      "URL is http.",
    fix:
      "Give the webhook an https URL with a public address. Receivers inside your network are allowed " +
      "by net.allow and net.allow_http in the configuration; `hookd serve --dev` allows this machine.",
  },
  overflow: {
    why: "The webhook's backlog was at limits.lane_backlog when a broadcast reached it.",
    fix: "Let the backlog drain (a faster receiver, a higher rate limit), then replay.",
  },
  cancelled: { why: "Somebody cancelled it.", fix: "Replay it if it is wanted after all." },
};

export const ERROR_WORDS: Readonly<Record<AttemptError, Words>> = {
  timeout: {
    why: "The receiver did not answer within the timeout.",
    fix:
      "Let the receiver answer first and work afterwards, or allow it more time: " +
      "hookd webhooks update <id> --timeout 30s.",
  },
  dns: {
    why: "The host name of the callback URL could not be resolved.",
    fix: "Check the name in the callback URL, and the name servers that hookd asks (net.dns_servers).",
  },
  connect: {
    why: "No connection to the receiver could be made: it is down, or a firewall is between.",
    fix: "Start the receiver, check host and port of the callback URL, and the firewall.",
  },
  tls: {
    why:
      "The connection could not be secured: the certificate is not valid for this host, has " +
      "expired, or is not trusted.",
    fix: "Renew or complete the receiver's certificate. One of your own authority is trusted by net.ca_file.",
  },
  reset: {
    why: "The receiver, or something between, closed the connection in the middle of the request.",
    fix: "Look into the receiver's log and its proxy's: a crash, a restart, or a limit of theirs.",
  },
  protocol: {
    why: "What came back was not HTTP as it should be.",
    fix:
      "Check that the callback URL leads to the web server itself: the right port, and https " +
      "where it speaks TLS.",
  },
  too_large: {
    why: "The receiver's answer was larger than hookd reads.",
    fix: "Let it answer with a status and little else.",
  },
  blocked: {
    why: "hookd may not connect to the address that the callback URL leads to.",
    fix: "Give the webhook a public address, or allow this one by net.allow in the configuration.",
  },
  lost: {
    why: "hookd was interrupted in the middle of the attempt, so its outcome is not known.",
    fix: "",
  },
  internal: {
    why:
      "hookd could not make the attempt: this machine is out of files, ports or memory, or " +
      "something failed in hookd.",
    fix: "Look into hookd's log, which has the details, and at the limit of open files.",
  },
};

/** How an attempt is told where there was neither a status nor an error. */
export const VERDICT_WORDS: Readonly<Record<Verdict, string>> = {
  success: "taken",
  retry: "failed for now",
  permanent: "refused for good",
  gone: "gone for good",
  blocked: "not allowed",
  lost: "interrupted",
};

/** What single statuses mean; for the others their class speaks. */
const STATUS_CODE_WORDS: Readonly<Record<number, Words>> = {
  400: {
    why: "The receiver did not understand the request (400).",
    fix: "Compare what it expects with the payload and its content type.",
  },
  401: {
    why: "The receiver did not accept who is asking (401): most often it refused the signature.",
    fix:
      "Check that it verifies with the webhook's secret over the raw body: `hookd verify` tells " +
      "what is wrong.",
  },
  403: {
    why: "The receiver does not allow the request (403): a firewall, or a refused signature.",
    fix: "Let the receiver's firewall pass hookd; `hookd verify` checks a signature.",
  },
  404: {
    why: "There is nothing at that path (404).",
    fix: "Correct the URL: hookd webhooks update <id> --url https://...",
  },
  405: {
    why: "The path does not take POST (405).",
    fix: "Correct the URL: hookd webhooks update <id> --url https://...",
  },
  408: { why: "The receiver gave up waiting for the request (408).", fix: "See whether it is overloaded." },
  410: {
    why: "The receiver said that it is gone for good (410); hookd switches such a webhook off.",
    fix: "If it is back, or elsewhere now: correct the URL, and switch the webhook on again.",
  },
  413: {
    why: "The payload is larger than the receiver takes (413).",
    fix: "Raise its limit for request bodies, or publish less: a link in place of the data.",
  },
  415: {
    why: "The receiver does not take this content type (415).",
    fix: "Publish with the content type it expects: hookd events send --content-type.",
  },
  429: {
    why: "The receiver has had more requests than it wants (429).",
    fix:
      "Tell hookd its limit, so that events wait instead of failing: " +
      "hookd webhooks update <id> --rate-limit 10.",
  },
  503: {
    why: "The receiver is not available (503): overloaded, or being maintained.",
    fix: "Bring it back; a limit may help it: hookd webhooks update <id> --rate-limit 10.",
  },
};

/** What an answer with this status means. */
export function statusCodeWords(status: number): Words {
  const known = STATUS_CODE_WORDS[status];
  if (known !== undefined) return known;
  if (status >= 200 && status <= 299) return { why: `The receiver took it (${status}).`, fix: "" };
  if (status >= 300 && status <= 399) {
    return {
      why: `The receiver answered with a redirect (${status}), which hookd never follows.`,
      fix: "Register the address that it leads to: hookd webhooks update <id> --url https://...",
    };
  }
  if (status >= 400 && status <= 499) {
    return {
      why: `The receiver refused the request (${status}).`,
      fix: "Look into the receiver's log for what it did not like.",
    };
  }
  if (status >= 500 && status <= 599) {
    return {
      why: `The receiver failed (${status}).`,
      fix: "Look into the receiver's log at the time of the attempt, and mend it.",
    };
  }
  return {
    why: `The receiver answered with a status that HTTP does not have (${status}).`,
    fix: "Check that the callback URL leads to the web server itself.",
  };
}

/** Why a webhook is off. */
export function offWords(reason: string | null): string {
  if (reason === "gone") return "the receiver answered 410 (gone), upon which hookd switches a webhook off";
  if (reason === "failing") return "nothing but failures came from it for breaker.disable_after";
  return "its user switched it off";
}
