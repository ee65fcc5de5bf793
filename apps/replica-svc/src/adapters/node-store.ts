import {
  BUCKETS,
  type DiskRecord,
  type NodeRecord,
  type NodeRegistration,
  lariatError,
} from '@lariat/contracts';
import type { Clock } from '@lariat/kernel';
import { type NewEvent, RecordBucket } from '@lariat/messaging';
import type { NatsConnection } from '@nats-io/nats-core';
import type { Verdict } from '../domain/node-health.js';

/** The nodes on record; replica-svc alone writes them. */
export class NodeStore {
  private constructor(
    private readonly records: RecordBucket<NodeRecord>,
    private readonly clock: Clock,
  ) {}

  static async open(connection: NatsConnection, clock: Clock): Promise<NodeStore> {
    const nowMs = (): number => clock.nowMs();
    return new NodeStore(
      await RecordBucket.open<NodeRecord>({
        connection,
        bucket: BUCKETS.nodes,
        kind: 'node',
        nowMs,
      }),
      clock,
    );
  }

  list(): readonly NodeRecord[] {
    return Array.from(this.records.cachedEntries(), ([, { value }]) => value).toSorted((a, b) =>
      a.name.localeCompare(b.name),
    );
  }

  listen(listener: () => void): () => void {
    return this.records.listen(listener);
  }

  async find(name: string): Promise<NodeRecord> {
    const found = this.records.cached(name) ?? (await this.records.read(name));
    if (found === undefined) throw nodeNotFound(name);
    return found.value;
  }

  /** A node that says what it has; new ones are made. */
  async register(registration: NodeRegistration): Promise<NodeRecord> {
    const since = new Date(this.clock.nowMs()).toISOString();
    const fresh: NodeRecord = Object.assign({}, registration, {
      state: 'ready' as const,
      reason: 'registered',
      since,
      schedulable: true,
    });
    const known =
      this.records.cached(registration.name) ?? (await this.records.read(registration.name));
    if (known === undefined) {
      const event = { type: 'registered', data: { traddr: fresh.traddr, target: fresh.target } };
      return (await this.records.create(fresh.name, fresh, [event], 'node-agent')).value;
    }
    const changed = await this.change(registration.name, (node) => {
      const returned = node.state !== 'ready';
      const next: NodeRecord = {
        ...fresh,
        schedulable: node.schedulable,
        since: returned ? since : node.since,
        reason: returned ? fresh.reason : node.reason,
      };
      if (JSON.stringify(next) === JSON.stringify(node)) return undefined;
      return {
        value: next,
        events: returned ? [{ type: 'ready', data: { from: node.state } }] : [],
      };
    });
    return changed;
  }

  async judge(name: string, verdict: Verdict): Promise<void> {
    await this.change(name, (node) => {
      if (node.state === verdict.state) return undefined;
      const since = new Date(this.clock.nowMs()).toISOString();
      return {
        value: { ...node, ...verdict, since },
        events: [{ type: verdict.state, data: { from: node.state, reason: verdict.reason } }],
      };
    });
  }

  setSchedulable(name: string, schedulable: boolean): Promise<NodeRecord> {
    return this.change(name, (node) => {
      if (node.schedulable === schedulable) return undefined;
      return {
        value: { ...node, schedulable },
        events: [{ type: schedulable ? 'uncordoned' : 'cordoned', data: null }],
      };
    });
  }

  putDisk(name: string, disk: DiskRecord): Promise<NodeRecord> {
    return this.change(name, (node) => {
      const others = node.disks.filter((other) => other.id !== disk.id);
      const known = others.length !== node.disks.length;
      if (known) return undefined;
      return {
        value: { ...node, disks: [...others, disk] },
        events: [{ type: 'disk-added', data: { disk: disk.id, path: disk.path } }],
      };
    });
  }

  dropDisk(name: string, disk: string): Promise<NodeRecord> {
    return this.change(name, (node) => {
      const disks = node.disks.filter((other) => other.id !== disk);
      if (disks.length === node.disks.length) return undefined;
      return { value: { ...node, disks }, events: [{ type: 'disk-removed', data: { disk } }] };
    });
  }

  async remove(name: string, actor: string): Promise<void> {
    const found = await this.records.read(name);
    if (found !== undefined)
      await this.records.remove(name, found, [{ type: 'removed', data: null }], actor);
  }

  private async change(
    name: string,
    decide: (node: NodeRecord) => { value: NodeRecord; events: readonly NewEvent[] } | undefined,
  ): Promise<NodeRecord> {
    const changed = await this.records.change(name, decide, 'replica-svc');
    if (changed === undefined) throw nodeNotFound(name);
    return changed.value;
  }
}

function nodeNotFound(name: string): Error {
  return lariatError('NODE_NOT_FOUND', `There is no node '${name}'. See 'lariat node list'.`, {
    node: name,
  });
}
