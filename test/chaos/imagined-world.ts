import {
  type EnsureImageCopiesRequest,
  type ImageRecord,
  type LeaveDiskRequest,
  type LendSnapshotRequest,
  type NodeRecord,
  type OperationState,
  type OperationView,
  type Placement,
  type RecoverImagesRequest,
  type RecoveredImages,
  type VolumeChange,
  type VolumeRecord,
  isEnded,
  lariatError,
} from '@lariat/contracts';
import { type Json, MIB, delay, noFaultPoints } from '@lariat/kernel';
import {
  type LariatClient,
  RecordCopies,
  type RequestOptions,
  type Versioned,
  keptInTime,
} from '@lariat/messaging';
import { type RebuildDeps, replicaSagas } from '@lariat/replica-svc';
import {
  type SagaDefinition,
  type SagaRecord,
  SagaRunner,
  type SagaRunnerOptions,
  toOperationView,
} from '@lariat/saga';
import { createLog, createTelemetry } from '@lariat/telemetry';
import {
  IMAGE_COPIES,
  type ImageSagaDeps,
  applyImageChanges,
  imageSagas,
} from '@lariat/backing-image-svc';
import { type SagaDeps, VOLUME_COPIES, applyVolumeChanges, volumeSagas } from '@lariat/volume-svc';
import type { ImaginedAgents } from './imagined-agents.js';
import {
  DEAD_NODE,
  IMAGINED_CONTENT,
  imaginedDisk,
  imaginedImage,
  imaginedNode,
} from './imagined-records.js';

const clock = { nowMs: () => Date.now(), monotonicMs: () => performance.now() };
const NODES = ['n1', 'n2', 'n3', 'n4'];

/** What a member of the in-sync set must keep before it counts, as in volume-svc. */
const KEPT: ReadonlySet<VolumeChange['type']> = new Set([
  'put-replica',
  'drop-replica',
  'retire-replica',
  'fault-replica',
  'sync-replica',
]);

/** What a step asked of another part: `request internal.placement.reserve`, `command replica.create`, … */
export interface Asked {
  readonly saga: string;
  /** What the operation that asked works on. */
  readonly subject: string;
  readonly what: string;
}

interface Running {
  readonly kind: string;
  readonly subject: string;
}

const POLL_MS = 50;
/** As long as those who ask for copies of an image wait for one answer. */
const SPREAD_TIMEOUT_MS = 10_000;
const IMPORT_MS = 50;
/** As long as an import waits for the node that has its file. */
const SERVE_TIMEOUT_MS = 30_000;

/** The real sagas, run by the real runner; everything they talk to is imagined, and so is time. */
export class ImaginedWorld {
  readonly asked: Asked[] = [];
  private readonly volumes = new Map<string, VolumeRecord>();
  private readonly images = new Map<string, ImageRecord>();
  private readonly names = new Map<string, string>();
  private readonly journal = new Map<string, Versioned<SagaRecord>>();
  private readonly cancelled = new Set<string>();
  private readonly cancelListeners = new Set<(id: string) => void>();
  private readonly definitions: readonly SagaDefinition<Json, object>[];
  private readonly runner: SagaRunner;
  /** An agent answers these at once, or not at all: it waits for nobody then, and no queue is before it. */
  private readonly copies: RecordCopies<'volume'>;
  private readonly imageCopies: RecordCopies<'image'>;
  /** One at a time: an operation that has begun another waits for its end. */
  private readonly running: Running[] = [];

  constructor(
    volume: VolumeRecord | null,
    private readonly agents: ImaginedAgents,
    image: ImageRecord | null = null,
    others: readonly VolumeRecord[] = [],
  ) {
    const log = createLog('imagined', 'error', () => undefined);
    const send = ((node: string, envelope: never) => agents.send(node, envelope)) as never;
    this.copies = new RecordCopies(VOLUME_COPIES, { send }, clock, log);
    this.imageCopies = new RecordCopies(IMAGE_COPIES, { send }, clock, log);
    for (const one of [...(volume === null ? [] : [volume]), ...others])
      this.volumes.set(one.id, one);
    if (image !== null) this.images.set(image.id, image);
    const sagas = [
      ...volumeSagas(this.volumeDeps()),
      ...replicaSagas(this.replicaDeps()),
      ...imageSagas(this.imageDeps()),
    ];
    this.definitions = sagas as unknown as readonly SagaDefinition<Json, object>[];
    const client = this.client();
    const telemetry = createTelemetry({
      ...{ serviceName: 'imagined', serviceVersion: '0', instanceId: 'imagined' },
    });
    // Classes with private members can't be imitated in types: what the sagas use of them is here.
    const parts = {
      store: this.store(),
      cancels: this.cancels(),
      liveness: { isAlive: () => true, close: () => undefined },
      instance: 'imagined',
      commands: {
        send: (node: string, envelope: Parameters<ImaginedAgents['send']>[1]) => {
          this.note(`command ${envelope.command}`);
          return agents.send(node, envelope);
        },
      },
      client,
      tracing: telemetry,
      clock,
      log,
      faults: noFaultPoints,
      definitions: this.definitions,
    };
    this.runner = new SagaRunner(parts as unknown as SagaRunnerOptions);
  }

  async start(kind: string, input: Json, requestId?: string): Promise<string> {
    const saga = this.definitions.find((definition) => definition.kind === kind);
    if (saga === undefined) throw new Error(`no saga is called '${kind}'`);
    this.running.push({ kind, subject: saga.subjectOf(input) });
    return (await this.runner.start({ kind, input, actor: 'test', requestId })).id;
  }

  /** Those that there are, the first one first. */
  records(): readonly VolumeRecord[] {
    return [...this.volumes.values()];
  }

  imageRecords(): readonly ImageRecord[] {
    return [...this.images.values()];
  }

  operation(id: string): SagaRecord {
    const found = this.journal.get(id);
    if (found === undefined) throw new Error(`no operation ${id}`);
    return found.value;
  }

  /** As `operation.get` shows those that have not ended. */
  underWay(): readonly OperationView[] {
    return [...this.journal.values()]
      .filter(({ value }) => !isEnded(value.state))
      .map(({ value }) => toOperationView(value));
  }

  hasEnded(id: string): OperationState | undefined {
    const { state } = this.operation(id);
    return isEnded(state) ? state : undefined;
  }

  /** As `operation.cancel` asks for it; false when it is past that. */
  cancel(id: string): boolean {
    if (!toOperationView(this.operation(id)).cancellable) return false;
    this.cancelled.add(id);
    for (const listener of this.cancelListeners) listener(id);
    return true;
  }

  stop(): Promise<void> {
    return this.runner.stop();
  }

  private note(what: string): void {
    const { kind, subject } = this.running.at(-1) ?? { kind: 'none', subject: 'none' };
    this.asked.push({ saga: kind, subject, what });
  }

  private node(name: string): NodeRecord {
    const known = imaginedNode(name);
    return name === DEAD_NODE || this.agents.isDown(name) ? { ...known, state: 'down' } : known;
  }

  private change(
    id: string,
    operation: string | null,
    decide: readonly VolumeChange[] | ((record: VolumeRecord) => readonly VolumeChange[]),
  ): VolumeRecord {
    const record = this.existing(id);
    const changes = typeof decide === 'function' ? decide(record) : decide;
    const changed = applyVolumeChanges(record, operation, changes).record;
    this.volumes.set(id, changed);
    return changed;
  }

  private async changeAndKeep(
    id: string,
    operation: string,
    changes: readonly VolumeChange[],
  ): Promise<VolumeRecord> {
    const record = this.change(id, operation, changes);
    if (changes.some(({ type }) => KEPT.has(type)) && record.state !== 'deleting') {
      const put = changes.flatMap((one) => (one.type === 'put-replica' ? [one.replica.id] : []));
      await this.copies.keep(record, put);
    }
    return record;
  }

  private existing(id: string): VolumeRecord {
    const found = this.volumes.get(id);
    if (found === undefined) throw lariatError('VOLUME_NOT_FOUND', 'There is no such volume.');
    return found;
  }

  private async begin(
    kind: string,
    input: Json,
    requestId?: string,
  ): Promise<{ operation: { id: string } }> {
    return { operation: { id: await this.start(kind, input, requestId) } };
  }

  private async ended(id: string): Promise<{ state: OperationState; error: unknown }> {
    while (this.hasEnded(id) === undefined) await delay(POLL_MS);
    this.running.pop();
    const { state, error } = this.operation(id);
    return { state, error };
  }

  private places(volume: string, replicas: readonly string[]): readonly Placement[] {
    const used = new Set(
      (this.volumes.get(volume)?.replicas ?? [])
        .filter(({ mode }) => mode === 'RW')
        .map(({ node }) => node),
    );
    const free = NODES.filter((node) => !used.has(node) && !this.agents.isDown(node));
    return replicas.map((replica, index) => {
      const node = free[index];
      if (node === undefined) throw lariatError('NO_CAPACITY', 'No node is left.');
      return { replica, node, disk: `disk-of-${node}` };
    });
  }

  /** As backing-image-svc would: a command to each node, and no answer while one of them is silent. */
  private async spread({ image, disks }: EnsureImageCopiesRequest): Promise<{ ready: true }> {
    const { sizeBytes } = imaginedImage(image);
    await Promise.all(
      disks.map(({ node, disk }, at) =>
        this.agents.send(node, {
          ...{ id: `op-spread/${at}`, command: 'image.create-copy', operation: 'op-spread' },
          ...{ step: 'fetch', fence: 1, deadlineAtMs: Date.now() + SPREAD_TIMEOUT_MS },
          input: { image, disk, sizeBytes, hostNqn: null },
        }),
      ),
    );
    return { ready: true };
  }

  /** As backing-image-svc would: there are enough others, and the node is told to delete it. */
  private async leaveDisk({ image, node, disk }: LeaveDiskRequest): Promise<object> {
    await this.agents.send(node, {
      ...{ id: `op-leave/${disk}`, command: 'image.delete-copy', operation: 'op-leave' },
      ...{ step: 'leave', fence: 1, deadlineAtMs: Date.now() + SPREAD_TIMEOUT_MS },
      input: { image, disk },
    });
    const record = this.images.get(image);
    if (record !== undefined) {
      const copies = record.copies.filter((copy) => copy.disk !== disk);
      this.images.set(image, { ...record, copies });
    }
    return {};
  }

  /** As backing-image-svc would: each record that a node keeps is on record then. */
  private recoverImages({ images, dryRun }: RecoverImagesRequest): RecoveredImages {
    const lost = images.flatMap(({ image, record }) =>
      record === null || this.images.has(image) ? [] : [record],
    );
    if (!dryRun) for (const record of lost) this.images.set(record.id, record);
    const recovered = lost.map(({ id, name, state, sizeBytes, copies }) => ({
      ...({ id, name, outcome: 'recovered', state, sizeBytes, copies, notes: [] } as const),
    }));
    return { images: recovered, written: lost.length > 0, names: lost.length };
  }

  private client(): LariatClient {
    const answers: Readonly<Record<string, (body: never, requestId?: string) => unknown>> = {
      'node.get': ({ node }: { node: string }) => this.node(node),
      'node.list': () => ({
        nodes: NODES.map((name) => ({ ...this.node(name), disks: [imaginedDisk(name)] })),
      }),
      'internal.volume.users-of-image': ({ image }: { image: string }) => ({
        volumes: this.records().filter((volume) => volume.image === image),
      }),
      'internal.placement.promise-copy': () => ({}),
      'internal.placement.release-copy': () => ({}),
      'internal.volume.record': ({ volume }: { volume: string }) => this.existing(volume),
      'internal.volume.change': (body: {
        volume: string;
        operation: string;
        changes: readonly VolumeChange[];
      }) => this.changeAndKeep(body.volume, body.operation, body.changes),
      'internal.placement.reserve': (body: { volume: string; replicas: readonly string[] }) => ({
        placements: this.places(body.volume, body.replicas),
      }),
      'internal.image.record': ({ image }: { image: string }) => imaginedImage(image),
      'internal.image.ensure-copies': (body: EnsureImageCopiesRequest) => this.spread(body),
      'image.list': () => ({ images: this.imageRecords() }),
      'internal.image.recover': (body: RecoverImagesRequest) => this.recoverImages(body),
      'internal.placement.grow': () => ({}),
      'internal.placement.release': () => ({}),
      'internal.placement.restore': () => ({ restored: 0 }),
      'volume.detach': ({ volume }: { volume: string }) => this.begin('volume.detach', { volume }),
      'internal.image.forget-node': () => ({ lastCopies: [] }),
      'replica.rebuild': ({ volume, replica }: { volume: string; replica?: string }) =>
        this.begin('replica.rebuild', { volume, replica: replica ?? null }),
      'replica.move': ({ volume, replica }: { volume: string; replica: string }) =>
        this.begin('replica.move', { volume, replica, toDisks: ['disk-of-n4'] }),
      'internal.image.leave-disk': (body: LeaveDiskRequest) => this.leaveDisk(body),
      'replica.remove': ({ volume, replica }: { volume: string; replica: string }) =>
        this.begin('replica.remove', { volume, replica }),
      'internal.volume.lend-snapshot': (body: LendSnapshotRequest, requestId) => {
        const { volume, snapshot = null, image, name, borrower } = body;
        const input = { volume, snapshot, image, name, borrower };
        return this.begin('snapshot.lend', input, requestId);
      },
      'operation.get': ({ operation }: { operation: string }) => {
        const found = this.journal.get(operation);
        if (found === undefined) throw lariatError('OPERATION_NOT_FOUND', 'There is none.');
        return toOperationView(found.value);
      },
      'operation.cancel': ({ operation }: { operation: string }) => {
        if (this.cancel(operation)) return {};
        throw lariatError('OPERATION_NOT_CANCELLABLE', 'It is past that.');
      },
      'operation.wait': ({ operation }: { operation: string }) => this.ended(operation),
    };
    const client = {
      request: (name: string, body: unknown, options?: RequestOptions): Promise<unknown> => {
        // The request that began it is noted, and is the same wait.
        if (name !== 'operation.wait' && name !== 'operation.cancel') this.note(`request ${name}`);
        const answer = answers[name] as ((body: unknown, id?: string) => unknown) | undefined;
        if (answer === undefined) throw new Error(`a step asks for '${name}'`);
        return Promise.resolve().then(() => answer(body, options?.requestId));
      },
      connection: { subscribe: () => ({ unsubscribe: () => undefined }) },
    };
    return client as unknown as LariatClient;
  }

  private volumeDeps(): SagaDeps {
    const volumes = {
      find: (id: string) => Promise.resolve().then(() => this.existing(id)),
      findFresh: (id: string) =>
        Promise.resolve().then(() => ({ value: this.existing(id), revision: 1 })),
      read: (id: string) => {
        const value = this.volumes.get(id);
        return Promise.resolve(value === undefined ? undefined : { value, revision: 1 });
      },
      create: (record: VolumeRecord) => {
        const made = this.volumes.get(record.id) ?? record;
        this.volumes.set(record.id, made);
        return Promise.resolve(made);
      },
      change: (...change: Parameters<ImaginedWorld['change']>) =>
        Promise.resolve().then(() => this.change(...change)),
      confirm: async (record: VolumeRecord) => {
        await this.copies.keep(record);
      },
      tell: (record: VolumeRecord) => this.copies.keep(record).catch(() => []),
      remove: (id: string) => {
        this.volumes.delete(id);
        return Promise.resolve();
      },
      list: () => this.records(),
      names: {
        volumeOf: (name: string) => Promise.resolve(this.names.get(name)),
        reserve: (name: string, volume: string) => {
          const holder = this.names.get(name) ?? volume;
          this.names.set(name, holder);
          return Promise.resolve(holder);
        },
        release: (name: string) => {
          this.names.delete(name);
          return Promise.resolve();
        },
      },
    };
    return { volumes, clock } as unknown as SagaDeps;
  }

  private imageDeps(): ImageSagaDeps {
    const existing = (id: string): ImageRecord => {
      const found = this.images.get(id);
      if (found === undefined) throw lariatError('IMAGE_NOT_FOUND', 'There is no such image.');
      return found;
    };
    const images: Pick<ImageSagaDeps['images'], 'read' | 'create' | 'change' | 'remove' | 'tell'> =
      {
        read: (id) => Promise.resolve(this.images.get(id)),
        create: (record) => {
          const made = this.images.get(record.id) ?? record;
          this.images.set(record.id, made);
          return Promise.resolve(made);
        },
        change: async (id, decide) => {
          await Promise.resolve();
          const before = existing(id);
          const changes = typeof decide === 'function' ? decide(before) : decide;
          const { record } = applyImageChanges(before, changes);
          this.images.set(id, record);
          return record;
        },
        tell: (record) => keptInTime(this.imageCopies.keep(record)),
        remove: (id) => {
          this.images.delete(id);
          return Promise.resolve();
        },
      };
    const names = {
      reserve: (_name: string, image: string) => Promise.resolve(image),
      release: () => Promise.resolve(),
    };
    const importer: ImageSagaDeps['importer'] = {
      import: async ({ source, serveFile, openDraft, signal, onProgress }) => {
        const phase = 'downloading';
        if ('file' in source && source.file.node !== null) {
          const asked = { path: source.file.path, token: 'imagined', expected: null };
          await serveFile(source.file.node, asked, SERVE_TIMEOUT_MS);
        }
        onProgress({ phase, doneBytes: 0, totalBytes: MIB, bytesPerSecond: 0, etaMs: null });
        await openDraft(MIB);
        await delay(IMPORT_MS, signal);
        if (signal.aborted) throw signal.reason;
        return { ...IMAGINED_CONTENT, format: 'raw' };
      },
    };
    const stopping = new AbortController().signal;
    const readers = new Map<string, number>();
    const deps = { images: { ...images, names }, importer, clock, stopping, readers };
    return deps as unknown as ImageSagaDeps;
  }

  private replicaDeps(): RebuildDeps {
    const deps = {
      clock,
      volumes: {
        fresh: (id: string) => Promise.resolve(this.volumes.get(id)),
        list: () => this.records(),
      },
      images: { list: () => [] },
      orphans: { list: () => [], end: () => Promise.resolve() },
      isHeld: () => false,
      nodes: {
        list: () => NODES.map((name) => this.node(name)),
        find: (name: string) => Promise.resolve(this.node(name)),
        changeDuty: () => Promise.resolve(),
        updateDisk: () => Promise.resolve(),
        putDisk: () => Promise.resolve(),
        dropDisk: () => Promise.resolve(),
        remove: () => Promise.resolve(),
      },
      allocator: {
        reserve: (wanted: { volume: string; replicas: readonly string[] }) =>
          Promise.resolve().then(() => this.places(wanted.volume, wanted.replicas)),
        grow: () => Promise.resolve(),
        release: () => Promise.resolve(),
        list: () => [],
        replicasOn: () => [],
        releaseImageCopies: () => Promise.resolve(),
      },
    };
    return deps as unknown as RebuildDeps;
  }

  private cancels(): object {
    return {
      actorOf: (id: string) => (this.cancelled.has(id) ? 'an operator' : undefined),
      forget: () => undefined,
      listen: (listener: (id: string) => void) => {
        this.cancelListeners.add(listener);
        return () => this.cancelListeners.delete(listener);
      },
    };
  }

  private store(): object {
    const write = (record: SagaRecord): Promise<Versioned<SagaRecord>> => {
      const revision = (this.journal.get(record.id)?.revision ?? 0) + 1;
      const versioned = { value: structuredClone(record), revision };
      this.journal.set(record.id, versioned as Versioned<SagaRecord>);
      return Promise.resolve(versioned as Versioned<SagaRecord>);
    };
    return {
      listen: () => () => undefined,
      cached: (id: string) => this.journal.get(id),
      find: (id: string) => Promise.resolve(this.journal.get(id)),
      running: () => [...this.journal.values()].filter(({ value }) => !isEnded(value.state)),
      claim: ({ id }: SagaRecord) => Promise.resolve(id),
      create: write,
      write: (_previous: unknown, next: SagaRecord) => write(next),
    };
  }
}
