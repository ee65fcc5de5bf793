import {
  type AllocationRecord,
  DEFAULT_DISK_SETTINGS,
  type NodeRecord,
  lariatError,
} from '@lariat/contracts';
import type { Change, RecordListener, Versioned } from '@lariat/messaging';
import { toLariatError } from '@lariat/kernel';
import type { AllocationRecords } from './allocation-records.js';

/** What becomes of one write; a read is answered only when it is `stored`. */
export type WriteFate = 'stored' | 'lost' | 'stored-but-answer-lost';

export interface Turns {
  /** Resolves when it is this call's turn. */
  readonly wait: () => Promise<void>;
  readonly fate: () => WriteFate;
}

/** One bucket that any number of instances write by compare-and-set; `onWrite` sees every state that it has. */
export class SharedAllocations {
  readonly records = new Map<string, Versioned<AllocationRecord>>();
  private revision = 0;

  constructor(private readonly onWrite: (record: AllocationRecord) => void = () => undefined) {}

  put(key: string, expected: number, value: AllocationRecord): Versioned<AllocationRecord> {
    if ((this.records.get(key)?.revision ?? 0) !== expected)
      throw lariatError('REVISION_CONFLICT', 'changed by somebody else');
    this.revision += 1;
    const stored = { value, revision: this.revision, sequence: 0 };
    this.records.set(key, stored);
    this.onWrite(value);
    return stored;
  }
}

/** One instance's view of the bucket: its cache learns only of what it reads and writes itself. */
export class InstanceRecords implements AllocationRecords {
  private readonly cache = new Map<string, Versioned<AllocationRecord>>();
  private readonly listeners = new Set<RecordListener<AllocationRecord>>();

  constructor(
    private readonly shared: SharedAllocations,
    private readonly turns: Turns,
  ) {}

  cached(key: string): Versioned<AllocationRecord> | undefined {
    return this.cache.get(key);
  }

  cachedEntries(): IterableIterator<[string, Versioned<AllocationRecord>]> {
    return this.cache.entries();
  }

  listen(listener: RecordListener<AllocationRecord>): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async read(key: string): Promise<Versioned<AllocationRecord> | undefined> {
    await this.turns.wait();
    if (this.turns.fate() !== 'stored') throw lariatError('NATS_UNAVAILABLE', 'not read');
    const found = this.shared.records.get(key);
    return found === undefined ? undefined : this.remember(key, found);
  }

  create(key: string, value: AllocationRecord): Promise<Versioned<AllocationRecord>> {
    return this.put(key, 0, value);
  }

  update(
    key: string,
    previous: Versioned<AllocationRecord>,
    value: AllocationRecord,
  ): Promise<Versioned<AllocationRecord>> {
    return this.put(key, previous.revision, value);
  }

  async change(
    key: string,
    decide: Change<AllocationRecord>,
  ): Promise<Versioned<AllocationRecord> | undefined> {
    let current = this.cache.get(key) ?? (await this.read(key));
    for (;;) {
      if (current === undefined) return undefined;
      const decision = decide(current.value);
      if (decision === undefined) return current;
      try {
        return await this.update(key, current, decision.value);
      } catch (error) {
        if (toLariatError(error).code !== 'REVISION_CONFLICT') throw error;
        current = await this.read(key);
      }
    }
  }

  private async put(
    key: string,
    expected: number,
    value: AllocationRecord,
  ): Promise<Versioned<AllocationRecord>> {
    await this.turns.wait();
    const fate = this.turns.fate();
    if (fate === 'lost') throw lariatError('NATS_UNAVAILABLE', 'not stored');
    const stored = this.shared.put(key, expected, value);
    if (fate === 'stored-but-answer-lost') throw lariatError('NATS_UNAVAILABLE', 'stored');
    return this.remember(key, stored);
  }

  private remember(
    key: string,
    versioned: Versioned<AllocationRecord>,
  ): Versioned<AllocationRecord> {
    if (versioned.revision > (this.cache.get(key)?.revision ?? 0)) {
      this.cache.set(key, versioned);
      for (const listener of this.listeners) listener(key, versioned.value);
    }
    return versioned;
  }
}

/** A ready node with one disk, `disk-<name>`, that may be promised up to `limitBytes`. */
export const nodeWithDisk = (name: string, limitBytes: number): NodeRecord => ({
  name,
  state: 'ready',
  reason: 'heartbeats arrive',
  since: '2026-11-21T00:00:00.000Z',
  schedulable: true,
  zone: 'default',
  labels: {},
  traddr: '127.0.0.1',
  trsvcid: '1',
  frontends: [],
  target: 't',
  agentVersion: '1',
  agentInstance: 'i',
  disks: [
    {
      id: `disk-${name}`,
      name: 'd1',
      path: '/d1',
      tags: [],
      lvsUuid: 'u',
      // Half of it is reserved: what is checked against is the limit, never the raw capacity.
      capacityBytes: 2 * limitBytes,
      clusterSizeBytes: 1,
    },
  ],
  settings: {
    tags: [],
    zone: null,
    disks: { [`disk-${name}`]: { ...DEFAULT_DISK_SETTINGS, reservedBytes: limitBytes } },
  },
});
