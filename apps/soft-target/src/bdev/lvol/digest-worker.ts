import { createHash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';

/** The SHA-256 of all of the memory is wanted. */
export interface DigestRequest {
  readonly id: number;
  readonly memory: SharedArrayBuffer;
}

export interface DigestAnswer {
  readonly id: number;
  readonly digest: Uint8Array;
}

// Runs in a thread of its own: a cluster takes the better part of a millisecond, which I/O has not to wait.
parentPort?.on('message', ({ id, memory }: DigestRequest) => {
  const digest = createHash('sha256').update(Buffer.from(memory)).digest();
  parentPort?.postMessage({ id, digest } satisfies DigestAnswer);
});
