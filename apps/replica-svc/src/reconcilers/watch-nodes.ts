import { type Heartbeat, heartbeatSubject } from '@lariat/contracts';
import { type Clock, type ReconcileCounts, delay } from '@lariat/kernel';
import type { Log } from '@lariat/telemetry';
import type { NatsConnection, Subscription } from '@nats-io/nats-core';
import type { NodeStore } from '../adapters/node-store.js';
import { judgeNode } from '../domain/node-health.js';

const JUDGE_EVERY_MS = 500;

interface Heard {
  readonly atMs: number;
  readonly targetReady: boolean;
  readonly targetFault?: string | undefined;
}

/** Hears the agents' heartbeats, and judges the nodes by them while it holds the duty. */
export class NodeWatch {
  private readonly heard = new Map<string, Heard>();
  private readonly subscription: Subscription;

  constructor(
    connection: NatsConnection,
    private readonly nodes: NodeStore,
    private readonly clock: Clock,
    private readonly log: Log,
    private readonly counts: ReconcileCounts,
  ) {
    this.subscription = connection.subscribe(heartbeatSubject('*'), {
      callback: (error, message) => {
        if (error !== null) return;
        const { node, targetReady, targetFault } = message.json<Heartbeat>();
        this.heard.set(node, { atMs: this.clock.monotonicMs(), targetReady, targetFault });
      },
    });
  }

  stop(): void {
    this.subscription.unsubscribe();
  }

  async judge(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const nowMs = this.clock.monotonicMs();
      for (const { name, state } of this.nodes.list()) {
        this.counts.looked('nodes');
        // A watcher that has just started has heard nothing yet: silence counts from here.
        const heard = this.heard.get(name) ?? { atMs: nowMs, targetReady: true };
        this.heard.set(name, heard);
        const { atMs, targetReady, targetFault } = heard;
        const verdict = judgeNode({ silentMs: nowMs - atMs, targetReady, targetFault });
        if (verdict.state === state) continue;
        this.counts.repaired('nodes');
        await this.nodes
          .judge(name, verdict)
          .catch((error: unknown) => this.log.warn('node not judged', { node: name, error }));
      }
      await delay(JUDGE_EVERY_MS, signal);
    }
  }
}
