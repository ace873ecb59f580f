import type { AddressPolicy } from "../domain/address.ts";
import { compilePermanent, type IsPermanent } from "../domain/classify.ts";
import { parseSecret } from "../domain/secret.ts";
import type { SigningKey } from "../domain/sign.ts";
import { bareHost, parseCallbackUrl } from "../domain/url.ts";
import type { SealedParts } from "../domain/webhook.ts";
import type { Endpoint } from "./connector.ts";
import { ownFailure, SendFailure } from "./failure.ts";
import type { Target } from "./port.ts";
import { type HeadText, prepareHead } from "./request.ts";

export interface TargetRules {
  readonly policy: AddressPolicy;
  readonly allowHttp: boolean;
  readonly allowLoopback: boolean;
  readonly userAgent: string;
  readonly open: (sealed: Uint8Array) => SealedParts;
}

/** A target with everything worked out that does not change from attempt to attempt. */
export interface ReadyTarget {
  readonly publicId: string;
  readonly endpoint: Endpoint;
  readonly head: HeadText;
  readonly timeoutMs: number;
  readonly isPermanent: IsPermanent;
  /** Keys that sign at a wall-clock time: those whose end has not come. */
  signingKeys(now: number): readonly SigningKey[];
}

/**
 * Opens and compiles a target. What is wrong with it is not thrown but kept as the failure of every attempt
 * to it: a webhook with a URL that the policy no longer allows, or sealed under a lost key, must not take the
 * sender down.
 */
export function prepareTarget(target: Target, rules: TargetRules): ReadyTarget | SendFailure {
  const verdict = parseCallbackUrl(target.callbackUrl, rules);
  if (!verdict.ok) return new SendFailure("blocked", verdict.why);
  try {
    return compile(target, new URL(verdict.url), rules.open(target.sealed), rules.userAgent);
  } catch (error) {
    return ownFailure(`target ${target.publicId} is not usable`, error);
  }
}

function compile(target: Target, url: URL, parts: SealedParts, userAgent: string): ReadyTarget {
  const isTls = url.protocol === "https:";
  return {
    publicId: target.publicId,
    endpoint: {
      origin: url.origin,
      host: bareHost(url.hostname),
      port: url.port === "" ? (isTls ? 443 : 80) : Number(url.port),
      isTls,
    },
    head: prepareHead(url, target.publicId, userAgent, parts.headers),
    timeoutMs: target.timeoutMs,
    isPermanent: compilePermanent(target.permanent),
    signingKeys: keysOf(parts),
  };
}

function keysOf(parts: SealedParts): (now: number) => readonly SigningKey[] {
  const keys = parts.secrets.map(({ secret, expiresAt }) => {
    const bytes = parseSecret(secret);
    if (bytes === null) throw new Error("a sealed secret is not valid");
    return { text: secret, bytes, expiresAt };
  });
  // The rule: one key without an end. Only a rotation's overlap pays for the filter.
  if (keys.every((key) => key.expiresAt === null)) return () => keys;
  return (now) => keys.filter((key) => key.expiresAt === null || key.expiresAt > now);
}
