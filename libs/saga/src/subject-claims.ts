import { createHash } from 'node:crypto';
import { BUCKETS } from '@lariat/contracts';
import { type Clock, delay } from '@lariat/kernel';
import { bucketReplicas, isWrongLastSequence } from '@lariat/messaging';
import { jetstream } from '@nats-io/jetstream';
import { type KV, Kvm } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/nats-core';

/** Claims of operations that ended long ago are not kept; those of a running one are renewed by nobody, and need not be. */
const KEPT_MS = 7 * 24 * 3_600_000;
/** An operation is put on record right after its claim; one that is not by then died in between. */
const RECORDED_WITHIN_MS = 5_000;
const POLL_MS = 20;

interface Claim {
  readonly operation: string;
  readonly atMs: number;
}

interface Held {
  /** Null: it was given back. */
  readonly claim: Claim | null;
  readonly revision: number;
}

/** Revision 0: what NATS takes for "nothing is there". */
const UNCLAIMED: Held = { claim: null, revision: 0 };
const MAX_KNOWN = 10_000;

/** What is on record of an operation: it runs, it has ended, or there is nothing. */
export type ClaimantState = 'running' | 'ended' | 'unknown';

/**
 * Which operation works on a subject, by compare-and-set: two instances that get equal requests at the same moment make
 * one operation of them.
 */
export class SubjectClaims {
  /** The last claims of this instance: one that is still there is renewed in one message. */
  private readonly known = new Map<string, Held>();

  private constructor(
    private readonly kv: KV,
    private readonly clock: Clock,
  ) {}

  static async open(connection: NatsConnection, clock: Clock): Promise<SubjectClaims> {
    const kvm = new Kvm(jetstream(connection));
    return new SubjectClaims(
      await kvm.create(BUCKETS.subjects, { history: 1, ttl: KEPT_MS, ...bucketReplicas() }),
      clock,
    );
  }

  /** Answers the operation that has the subject after the call: the given one, or another that runs. */
  async claim(
    subject: string,
    operation: string,
    stateOf: (operation: string) => Promise<ClaimantState>,
  ): Promise<string> {
    const key = keyOf(subject);
    let there = this.known.get(key) ?? UNCLAIMED;
    for (;;) {
      if (there.claim?.operation === operation) return operation;
      if (there.claim !== null && !(await this.isOver(there.claim, stateOf)))
        return there.claim.operation;
      const claim = { operation, atMs: this.clock.nowMs() };
      try {
        const expected = { previousSeq: there.revision };
        const revision = await this.kv.put(key, JSON.stringify(claim), expected);
        this.remember(key, { claim, revision });
        return operation;
      } catch (error) {
        // Somebody else was quicker, or what was remembered is old: look who has it.
        if (!isWrongLastSequence(error)) throw error;
        there = await this.look(key);
      }
    }
  }

  private async look(key: string): Promise<Held> {
    const entry = await this.kv.get(key);
    if (entry === null) return UNCLAIMED;
    const { revision } = entry;
    return { claim: entry.operation === 'PUT' ? entry.json<Claim>() : null, revision };
  }

  private remember(key: string, held: Held): void {
    this.known.delete(key);
    this.known.set(key, held);
    const [oldest] = this.known.keys();
    if (this.known.size > MAX_KNOWN && oldest !== undefined) this.known.delete(oldest);
  }

  private async isOver(
    { operation, atMs }: Claim,
    stateOf: (operation: string) => Promise<ClaimantState>,
  ): Promise<boolean> {
    for (;;) {
      const state = await stateOf(operation);
      if (state !== 'unknown') return state === 'ended';
      // Forgotten, or about to be put on record. A clock that is set back must not make this wait for ever.
      const sinceMs = Math.abs(this.clock.nowMs() - atMs);
      if (sinceMs > RECORDED_WITHIN_MS) return true;
      await delay(POLL_MS);
    }
  }
}

/** A subject may hold a path, and a key of KV may not hold all that a path may. */
const keyOf = (subject: string): string => createHash('sha256').update(subject).digest('hex');
