import { isDeepStrictEqual } from 'node:util';
import {
  BUCKETS,
  type DiskRecord,
  type DiskSettings,
  type KeptNode,
  type NodeDutyEvent,
  type NodeEvidence,
  type NodeRecord,
  type NodeRegistration,
  diskSettingsOf,
  lariatError,
} from '@lariat/contracts';
import type { Clock } from '@lariat/kernel';
import { type NewEvent, RecordBucket } from '@lariat/messaging';
import type { RecordSource } from '@lariat/read-model';
import type { NatsConnection } from '@nats-io/nats-core';
import { type Judgement, verdictOn, withReturn } from '../domain/node-health.js';
import { type DutyChange, withDuty } from '../domain/node-duty.js';
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

  /** What lists of them are made of. */
  get source(): RecordSource<NodeRecord> {
    return this.records;
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
      const made = { ...fresh, ...asKept(kept) };
      return (await this.records.create(fresh.name, made, [event], 'node-agent')).value;
    }
    return this.change(registration.name, (node) => {
      const { schedulable, duty, drain, settings } = node;
      const isNewAgent = node.agentInstance !== registration.agentInstance;
      // The same agent that tells of something else is judged by its heartbeats, as ever.
      const returned = node.state !== 'ready' && isNewAgent;
      const stays = { state: node.state, since: node.since, reason: node.reason };
      const evidence = returned ? registeredBy(registration) : node.evidence;
      const next = withoutMissing<NodeRecord>({
        ...fresh,
        ...(returned ? {} : stays),
        ...{ evidence, schedulable, duty, drain, settings },
      });
      // As it would be stored: what was heard is of classes that records do not have.
      if (isDeepStrictEqual(JSON.parse(JSON.stringify(next)), node)) return undefined;
      return {
        value: next,
        events: [
          ...(returned ? [{ type: 'ready', data: { from: node.state } }] : []),
          ...diskEvents(node.disks, next.disks),
        ],
      };
    });
  }

  /** Goes on from the state that the node is in by then. */
  async judge(
    name: string,
    judgement: Judgement,
    found: Omit<NodeEvidence, 'returnedAt'>,
  ): Promise<void> {
    await this.change(name, (node) => {
      const verdict = verdictOn(node.state, judgement);
      if (verdict === undefined) return undefined;
      const nowMs = this.clock.nowMs();
      const since = new Date(nowMs).toISOString();
      const returnedAt =
        verdict.state === 'ready'
          ? withReturn(node, found.heartbeat?.agentInstance, nowMs)
          : (node.evidence?.returnedAt ?? []);
      const evidence = { ...found, returnedAt };
      const { state, reason } = verdict;
      return {
        value: { ...node, ...verdict, since, evidence },
        events: [{ type: state, data: { from: node.state, reason, evidence: { ...evidence } } }],
      };
    });
  }

  /** What an operator, or an operation of his, wants of the node; what changes nothing is fine. */
  changeDuty(name: string, change: DutyChange): Promise<NodeRecord> {
    return this.change(name, (node) => {
      const next = withDuty(node, change);
      if (next === node) return undefined;
      const { operation = null } = change;
      return { value: next, events: [{ type: DUTY_TOLD[change.event], data: { operation } }] };
    });
  }

  /** What placement goes by: tags, zone. */
  updateNode(name: string, asked: Parameters<typeof withNodeSettings>[1]): Promise<NodeRecord> {
    return this.change(name, (node) => {
      const next = withNodeSettings(node, asked);
      if (next === node) return undefined;
      const { tags = [], zone = null } = next.settings ?? {};
      return { value: next, events: [{ type: 'updated', data: { tags, zone } }] };
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

const DUTY_TOLD: Readonly<Record<NodeDutyEvent, string>> = {
  cordon: 'cordoned',
  uncordon: 'uncordoned',
  drain: 'draining',
  drained: 'drained',
  'drain-ended': 'drain-ended',
};

/** What a node that the store has lost had been told to do; the operation that drained it is lost too. */
function asKept({ schedulable = true, duty, settings }: Partial<KeptNode> = {}): KeptNode {
  return withoutMissing<KeptNode>({
    schedulable,
    duty: duty === 'draining' ? 'cordoned' : duty,
    settings,
  });
}

/** What has become of disks that are known; those that come and go are told by who adds and removes them. */
function diskEvents(
  before: readonly DiskRecord[],
  after: readonly DiskRecord[],
): readonly NewEvent[] {
  return after.flatMap(({ id: disk, lost }) => {
    const known = before.find(({ id }) => id === disk);
    if (known === undefined || (known.lost === undefined) === (lost === undefined)) return [];
    return lost === undefined
      ? [{ type: 'disk-returned', data: { disk } }]
      : [{ type: 'disk-lost', data: { disk, reason: lost.reason } }];
  });
}

const registeredBy = ({ agentInstance }: NodeRegistration): NodeEvidence => ({
  ...{ judge: agentInstance, heartbeat: null, missed: 0, returnedAt: [] },
});

/** A record has no fields without a value: as text, and read again, they would be gone. */
function withoutMissing<T extends object>(value: { [Key in keyof T]: T[Key] | undefined }): T {
  const given = Object.entries(value).filter(([, field]) => field !== undefined);
  // The callers leave out what may be missing, and nothing else.
  return Object.fromEntries(given) as T;
}

function nodeNotFound(name: string): Error {
  return lariatError('NODE_NOT_FOUND', `There is no node '${name}'. See 'lariat node list'.`, {
    node: name,
  });
}
