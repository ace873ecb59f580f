import type { Logger } from "pino";
import { formatId, type IdSalt } from "../domain/ids.ts";
import type { DirectorLog } from "../engine/director-deps.ts";
import type { SettledAttempt } from "../engine/port.ts";

/** One wide line per attempt: every failure, and a sample of the successes (`log.sample_success`, now). */
export function attemptLog(
  log: Logger,
  sampleSuccess: () => number,
  random: () => number,
  salt: () => IdSalt,
): DirectorLog {
  // No field of a line is a secret by its name: to look for such ones is three quarters of what a line costs.
  const lines = log.child({}, { redact: [], level: "trace" });
  return {
    attempts(attempts) {
      if (!log.isLevelEnabled("info")) return;
      const share = sampleSuccess();
      for (const settled of attempts) {
        if (settled.status === "success" && random() >= share) continue;
        lines.info(fieldsOf(settled, salt()), "attempt");
      }
    },
    warn(message, fields) {
      log.warn(fields, message);
    },
  };
}

function fieldsOf(settled: SettledAttempt, salt: IdSalt): Record<string, unknown> {
  const { attempt } = settled;
  return {
    delivery_id: formatId("dlv", settled.deliveryId, salt),
    webhook_id: formatId("wh", settled.webhookId, salt),
    user_id: settled.userId,
    event_id: settled.eventId,
    event_uid: settled.eventUid,
    attempt: attempt.number,
    verdict: attempt.verdict,
    response_code: attempt.statusCode,
    error: attempt.error,
    duration_ms: Math.round(attempt.durationMs),
    status: settled.status,
    reason: settled.reason,
    next_retry_at: settled.nextRetryAt === null ? null : new Date(settled.nextRetryAt).toISOString(),
  };
}
