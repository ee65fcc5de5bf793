import { JetStreamApiError } from '@nats-io/jetstream';

/** JSStreamWrongLastSequenceErrF in nats-server's errors.json. */
const WRONG_LAST_SEQUENCE = 10071;

/** True when a write named a revision that is no longer the last: somebody else was first. */
export const isWrongLastSequence = (error: unknown): boolean =>
  error instanceof JetStreamApiError && error.code === WRONG_LAST_SEQUENCE;
