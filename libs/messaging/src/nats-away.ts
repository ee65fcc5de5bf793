import { lariatError } from '@lariat/contracts';
import { delay } from '@lariat/kernel';
import { JetStreamApiError } from '@nats-io/jetstream';

/** What the client of NATS throws when nobody took the message, or nobody answered it: also while a leader is elected. */
const AWAY = new Set(['TimeoutError', 'NoRespondersError', 'JetStreamNotEnabled']);

/**
 * What JetStream answers while it has no leader for what was asked, from nats-server's errors.json: JSClusterIncompleteErr,
 * JSClusterNotAvailErr, JSClusterNotLeaderErr, JSStreamOfflineErr, JSConsumerOfflineErr.
 */
const LEADERLESS = new Set([10004, 10008, 10009, 10118, 10119]);

export const isNatsAway = (reason: unknown): boolean =>
  reason instanceof JetStreamApiError
    ? LEADERLESS.has(reason.code)
    : reason instanceof Error && AWAY.has(reason.name);

/** Such an error as one that may pass; all others as they are. */
export function natsAwayAsUnavailable(reason: unknown): unknown {
  if (!isNatsAway(reason)) return reason;
  const said =
    reason instanceof JetStreamApiError ? `answered '${reason.message}'` : 'did not answer';
  return lariatError(
    'NATS_UNAVAILABLE',
    `JetStream ${said}; whether what was asked of it has happened is not known. Try again.`,
    {},
    reason,
  );
}

const RETRY_MS = 500;

/** Does the work, which may be done twice, again and again while JetStream is away; NATS_UNAVAILABLE when the time is over. */
export async function onceNatsAnswers<T>(work: () => Promise<T>, limitMs: number): Promise<T> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    try {
      return await work();
    } catch (reason) {
      if (!isNatsAway(reason) || performance.now() + RETRY_MS >= deadline)
        throw natsAwayAsUnavailable(reason);
      await delay(RETRY_MS);
    }
  }
}
