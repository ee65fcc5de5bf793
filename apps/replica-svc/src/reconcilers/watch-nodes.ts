import {
  type Heartbeat,
  type NodeEvidence,
  type NodeRecord,
  heartbeatSubject,
} from '@lariat/contracts';
import { type Clock, type ReconcileCounts, delay } from '@lariat/kernel';
import { toldByNode } from '@lariat/messaging';
import type { Log } from '@lariat/telemetry';
import type { NatsConnection, Subscription } from '@nats-io/nats-core';
import type { NodeStore } from '../adapters/node-store.js';
import {
  HEARTBEAT_MS,
  JUDGE_EVERY_MS,
  SUSPECT_AFTER_MS,
  judgeNode,
  returnsOf,
  verdictOn,
} from '../domain/node-health.js';

/** Between two rounds; what is more was no silence of the nodes, but the observer's own deafness. */
const HEARS_FOR_MS = 2 * JUDGE_EVERY_MS;

interface Heard {
  /** When a heartbeat came last, or when the observer began to wait for one. */
  silentSinceMs: number;
  /** Since when they come without a gap. */
  steadySinceMs: number;
  readonly heartbeat: NodeEvidence['heartbeat'];
  /** Why its target is not ready, in the agent's words. */
  readonly targetFault?: string | undefined;
}

export interface NodeWatchParts {
  readonly connection: Pick<NatsConnection, 'subscribe' | 'flush'>;
  readonly nodes: Pick<NodeStore, 'list' | 'judge'>;
  readonly instance: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly counts: ReconcileCounts;
}

/** Hears the agents' heartbeats, and judges the nodes by them while it holds the duty. */
export class NodeWatch {
  private readonly heard = new Map<string, Heard>();
  private readonly subscription: Subscription;
  private lastRoundMs: number | undefined;

  constructor(private readonly parts: NodeWatchParts) {
    this.subscription = parts.connection.subscribe(heartbeatSubject('*'), {
      callback: (error, message) => {
        const told = error === null ? toldByNode<Heartbeat>(message) : undefined;
        if (told !== undefined) this.hear(told);
      },
    });
  }

  stop(): void {
    this.subscription.unsubscribe();
  }

  async judge(signal: AbortSignal): Promise<void> {
    this.lastRoundMs = undefined;
    while (!signal.aborted) {
      await this.round();
      await delay(JUDGE_EVERY_MS, signal);
    }
  }

  async round(): Promise<void> {
    const { connection, nodes, clock, counts, log } = this.parts;
    try {
      // The server's answer comes behind all that it had for this observer: what is missing then was not sent.
      await connection.flush();
    } catch {
      // An observer that hears nothing says nothing about the nodes (invariant 2).
      return;
    }
    const nowMs = clock.monotonicMs();
    this.discountDeafness(nowMs);
    for (const node of nodes.list()) {
      counts.looked('nodes');
      const heard = this.heardOf(node.name, nowMs);
      const silentMs = nowMs - heard.silentSinceMs;
      // Not heard of yet, and not silent for long: what was judged before stands, also that it is down.
      if (heard.heartbeat === null && silentMs < SUSPECT_AFTER_MS) continue;
      const judgement = judgeNode({
        silentMs,
        steadyMs: nowMs - heard.steadySinceMs,
        targetReady: heard.heartbeat?.targetReady ?? true,
        targetFault: heard.targetFault,
        returns: returnsOf(node, clock.nowMs()),
      });
      if (verdictOn(node.state, judgement) === undefined) continue;
      counts.repaired('nodes');
      await nodes
        .judge(node.name, judgement, this.evidenceOf(heard, silentMs))
        .catch((error: unknown) => log.warn('node not judged', { node: node.name, error }));
    }
  }

  private hear({ node, agentInstance, sequence, targetReady, targetFault }: Heartbeat): void {
    const { clock } = this.parts;
    const nowMs = clock.monotonicMs();
    const before = this.heard.get(node);
    const isGap =
      before === undefined ||
      before.heartbeat?.targetReady !== targetReady ||
      nowMs - before.silentSinceMs >= SUSPECT_AFTER_MS;
    this.heard.set(node, {
      silentSinceMs: nowMs,
      steadySinceMs: isGap ? nowMs : before.steadySinceMs,
      heartbeat: {
        at: new Date(clock.nowMs()).toISOString(),
        ...{ agentInstance, sequence, targetReady },
      },
      targetFault,
    });
  }

  /** A watcher that has just started has heard nothing yet: silence counts from here. */
  private heardOf(name: NodeRecord['name'], nowMs: number): Heard {
    const known = this.heard.get(name);
    if (known !== undefined) return known;
    const fresh: Heard = { silentSinceMs: nowMs, steadySinceMs: nowMs, heartbeat: null };
    this.heard.set(name, fresh);
    return fresh;
  }

  /** Stopped, starved of processor or cut off from NATS, it would take its own silence for that of all nodes. */
  private discountDeafness(nowMs: number): void {
    const deafMs = Math.max(0, nowMs - (this.lastRoundMs ?? nowMs) - HEARS_FOR_MS);
    this.lastRoundMs = nowMs;
    if (deafMs === 0) return;
    for (const heard of this.heard.values())
      heard.silentSinceMs = Math.min(nowMs, heard.silentSinceMs + deafMs);
  }

  private evidenceOf(
    { heartbeat }: Heard,
    silentMs: number,
  ): Pick<NodeEvidence, 'judge' | 'heartbeat' | 'missed'> {
    const missed = Math.floor(silentMs / HEARTBEAT_MS);
    return { judge: this.parts.instance, heartbeat, missed };
  }
}
