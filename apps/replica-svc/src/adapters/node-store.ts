import {
  BUCKETS,
  DEFAULT_NODE_SETTINGS,
  type DiskRecord,
  type DiskSettings,
  type NodeRecord,
  type NodeRegistration,
  diskSettingsOf,
  lariatError,
} from '@lariat/contracts';
import type { Clock } from '@lariat/kernel';
import { type NewEvent, RecordBucket } from '@lariat/messaging';
import type { NatsConnection } from '@nats-io/nats-core';
import type { Verdict } from '../domain/node-health.js';
import {
  type Changes,
  withDiskSettings,
  withNodeSettings,
  withoutDisk,
} from '../domain/settings.js';

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
  async register({ kept, ...registration }: NodeRegistration): Promise<NodeRecord> {
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
      const { schedulable = true, settings } = kept ?? {};
      const made = { ...fresh, schedulable, ...(settings === undefined ? {} : { settings }) };
      return (await this.records.create(fresh.name, made, [event], 'node-agent')).value;
    }
    const changed = await this.change(registration.name, (node) => {
      const returned = node.state !== 'ready';
      const next: NodeRecord = {
        ...fresh,
        schedulable: node.schedulable,
        ...(node.settings === undefined ? {} : { settings: node.settings }),
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

  /** What placement goes by: tags, zone, whether new replicas are taken. */
  updateNode(name: string, asked: Parameters<typeof withNodeSettings>[1]): Promise<NodeRecord> {
    return this.change(name, (node) => {
      const next = withNodeSettings(node, asked);
      if (next === node) return undefined;
      const { tags = [], zone = null } = next.settings ?? {};
      const turned = next.schedulable !== node.schedulable;
      const isSet = !sameSettings(next, node);
      return {
        value: next,
        events: [
          ...(turned ? [{ type: next.schedulable ? 'uncordoned' : 'cordoned', data: null }] : []),
          ...(isSet ? [{ type: 'updated', data: { tags, zone } }] : []),
        ],
      };
    });
  }

  /** What placement goes by on one disk. */
  updateDisk(name: string, disk: string, asked: Changes<DiskSettings>): Promise<NodeRecord> {
    return this.change(name, (node) => {
      const next = withDiskSettings(node, disk, asked);
      if (next === node) return undefined;
      const settings = { ...diskSettingsOf(next, disk) };
      return { value: next, events: [{ type: 'disk-updated', data: { disk, ...settings } }] };
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
      const next = withoutDisk(node, disk);
      return next === node
        ? undefined
        : { value: next, events: [{ type: 'disk-removed', data: { disk } }] };
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

const sameSettings = (a: NodeRecord, b: NodeRecord): boolean =>
  JSON.stringify(a.settings ?? DEFAULT_NODE_SETTINGS) ===
  JSON.stringify(b.settings ?? DEFAULT_NODE_SETTINGS);

function nodeNotFound(name: string): Error {
  return lariatError('NODE_NOT_FOUND', `There is no node '${name}'. See 'lariat node list'.`, {
    node: name,
  });
}
