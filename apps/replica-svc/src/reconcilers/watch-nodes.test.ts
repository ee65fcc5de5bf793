import {
  type Heartbeat,
  type NodeEvidence,
  type NodeRecord,
  heartbeatSubject,
} from '@lariat/contracts';
import { ReconcileCounts } from '@lariat/kernel';
import type { Msg } from '@nats-io/nats-core';
import { beforeEach, describe, expect, it } from 'vitest';
import { nodeWithDisk } from '../adapters/allocation-store.test-support.js';
import {
  DOWN_AFTER_MS,
  type Judgement,
  SUSPECT_AFTER_MS,
  verdictOn,
} from '../domain/node-health.js';
import { NodeWatch } from './watch-nodes.js';

type Hear = (error: Error | null, message: Msg) => void;

describe('the watch over nodes', () => {
  let nowMs: number;
  let node: NodeRecord;
  let isCutOff: boolean;
  let told: { readonly state: string; readonly evidence: Omit<NodeEvidence, 'returnedAt'> }[];
  let hear: Hear;
  let watch: NodeWatch;
  let sequence: number;

  beforeEach(() => {
    nowMs = 1_000_000;
    sequence = 0;
    node = nodeWithDisk('n1', 100);
    isCutOff = false;
    told = [];
    const parts = {
      connection: {
        subscribe: (_subject: string, { callback }: { callback: Hear }) => {
          hear = callback;
          return { unsubscribe: () => undefined };
        },
        flush: () => (isCutOff ? Promise.reject(new Error('cut off')) : Promise.resolve()),
      },
      nodes: {
        list: () => [node],
        judge: (
          _name: string,
          judgement: Judgement,
          evidence: Omit<NodeEvidence, 'returnedAt'>,
        ) => {
          const verdict = verdictOn(node.state, judgement);
          if (verdict !== undefined) {
            node = { ...node, ...verdict };
            told.push({ state: node.state, evidence });
          }
          return Promise.resolve();
        },
      },
      instance: 'inst-1',
      clock: { nowMs: () => nowMs, monotonicMs: () => nowMs },
      log: { warn: () => undefined },
      counts: new ReconcileCounts(),
    };
    watch = new NodeWatch(parts as never);
  });

  const beat = (given: Partial<Heartbeat> = {}): void => {
    sequence += 1;
    const heartbeat = { node: 'n1', agentInstance: 'a', sequence, targetReady: true, ...given };
    const data = new TextEncoder().encode(JSON.stringify(heartbeat));
    hear(null, { subject: heartbeatSubject('n1'), data } as unknown as Msg);
  };
  /** Rounds of half a second, for so long. */
  const pass = async (ms: number): Promise<void> => {
    for (const endMs = nowMs + ms; nowMs < endMs;) {
      nowMs += 500;
      await watch.round();
    }
  };

  it('suspects a node that is silent, then takes it for dead, and believes it when it is heard', async () => {
    await watch.round();
    beat();
    const at = new Date(nowMs).toISOString();
    await pass(DOWN_AFTER_MS + 1_000);
    beat();
    await watch.round();
    expect(told.map(({ state }) => state)).toEqual(['suspect', 'down', 'ready']);
    expect(told[1]?.evidence).toEqual({
      ...{ judge: 'inst-1', missed: DOWN_AFTER_MS / 1_000 },
      heartbeat: { at, agentInstance: 'a', sequence: 1, targetReady: true },
    });
  });

  it('does not take a node that is down for ready because it has only begun to listen', async () => {
    node = { ...node, state: 'down' };
    await pass(DOWN_AFTER_MS);
    expect(told).toEqual([]);
    beat();
    await watch.round();
    expect(told.map(({ state }) => state)).toEqual(['ready']);
  });

  it('says nothing about nodes while it is cut off, and does not count that as their silence', async () => {
    await watch.round();
    beat();
    isCutOff = true;
    await pass(10 * DOWN_AFTER_MS);
    isCutOff = false;
    await watch.round();
    await pass(SUSPECT_AFTER_MS - 1_500);
    expect(told).toEqual([]);
    await pass(DOWN_AFTER_MS);
    expect(told.map(({ state }) => state)).toEqual(['suspect', 'down']);
  });

  it('takes being stopped for its own silence, not for that of the nodes', async () => {
    await watch.round();
    beat();
    nowMs += 10 * DOWN_AFTER_MS;
    await watch.round();
    expect(told).toEqual([]);
  });

  it('declares a node down in the end though each of its own rounds is late', async () => {
    await watch.round();
    beat();
    for (let late = 0; late < 20; late += 1) {
      nowMs += 3_000;
      await watch.round();
    }
    expect(told.map(({ state }) => state)).toEqual(['suspect', 'down']);
  });

  it('suspects a node whose target does not answer, on the word of its agent', async () => {
    await watch.round();
    beat({ targetReady: false });
    await watch.round();
    expect(told).toMatchObject([
      { state: 'suspect', evidence: { missed: 0, heartbeat: { targetReady: false } } },
    ]);
    expect(node.reason).toBe('its target does not answer');
  });
});
