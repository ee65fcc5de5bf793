import { lariatError } from '@lariat/contracts';

/** What the client of NATS throws when nobody took the message, or nobody answered it: also while a leader is elected. */
const AWAY = new Set(['TimeoutError', 'NoRespondersError', 'JetStreamNotEnabled']);

export const isNatsAway = (reason: unknown): boolean =>
  reason instanceof Error && AWAY.has(reason.name);

/** Such an error as one that may pass; all others as they are. */
export function natsAwayAsUnavailable(reason: unknown): unknown {
  if (!isNatsAway(reason)) return reason;
  return lariatError(
    'NATS_UNAVAILABLE',
    'JetStream did not answer; whether what was asked of it has happened is not known. Try again.',
    {},
    reason,
  );
}
