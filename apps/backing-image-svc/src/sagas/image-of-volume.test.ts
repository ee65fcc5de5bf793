import {
  type ErrorCode,
  type OperationView,
  clusterDigestOf,
  encodeDigestPage,
  lariatError,
} from '@lariat/contracts';
import { MIB, deriveImageId, deriveOperationId } from '@lariat/kernel';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Importer } from '../ports/importer.port.js';
import { memoryImages } from '../testing/memory-images.js';
import { type Answers, type ImaginedStep, driven, imaginedStep } from '../testing/step-context.js';
import { type CreateImageInput, createImageSaga } from './create-image.saga.js';

const IMAGE = deriveImageId('op-1');
const SIZE_BYTES = 4 * MIB;
const FIRST = deriveOperationId('op-1/lend/1');
const SECOND = deriveOperationId('op-1/lend/2');
const input: CreateImageInput = {
  ...{ name: 'gold', source: { volume: { id: 'vol-1', name: 'db', snapshot: null } } },
  ...{ checksum: null, format: null, minimumCopies: 1, labels: {} },
};
const content = {
  ...{ format: 'raw' as const, sizeBytes: MIB, contentBytes: MIB, dataClusters: 1 },
  checksums: { file: null, content: null, rootSha256: 'root' },
};
const endpoint = { nqn: 'n', traddr: 'a', trsvcid: '1', uuid: 'u' };
const node = (name: string) => ({
  ...{ name, state: 'ready', schedulable: true },
  disks: [{ id: `disk-of-${name}`, node: name, schedulable: true, availableBytes: 9e9 }],
});
const replica = (on: string, mode: string) => ({ id: `rep-${on}`, node: on, mode });

describe('an image of a volume', () => {
  /** Operations of the volumes' service that were begun, and how they end. */
  let lends: Map<string, { state: string; error: unknown }>;
  let outcomes: (ErrorCode | null)[];
  let clones: { volume: string; snapshot: string }[];
  let asked: string[];
  /** What each reading of a source ends with; then all go well. */
  let readings: (ErrorCode | null)[];
  let read: string[];
  let drafts: number;
  /** What the snapshot takes, and the digests of its clusters. */
  let allocated: number;
  let digests: Buffer;
  let maps: (readonly number[] | null)[];

  beforeEach(() => {
    lends = new Map();
    outcomes = [];
    clones = [];
    asked = [];
    readings = [];
    read = [];
    drafts = 0;
    allocated = SIZE_BYTES;
    digests = Buffer.alloc(0);
    maps = [];
  });

  const importer: Importer = {
    import: async ({ source, openDraft, onProgress }) => {
      if (!('namespace' in source)) throw new Error('not a namespace');
      const { description, map } = source.namespace;
      read.push(description);
      maps.push(
        map === null
          ? null
          : Array.from({ length: map.clusters }, (_, at) => Number(map.isData(at))),
      );
      const phase = 'downloading';
      onProgress({ phase, doneBytes: 0, totalBytes: MIB, bytesPerSecond: 1, etaMs: 1 });
      await openDraft(MIB);
      drafts += 1;
      const code = readings.shift() ?? null;
      if (code !== null) throw lariatError(code, 'as the test says');
      return content;
    },
  };

  const view = (id: string): Partial<OperationView> => ({ id, ...(lends.get(id) as object) });
  const requests = {
    'node.list': () => ({ nodes: [node('n4')] }),
    'node.get': (body: { node: string }) => node(body.node),
    'internal.volume.record': () => ({
      ...{ name: 'db', clones, snapshots: [{ id: 'snp-1', sizeBytes: SIZE_BYTES }] },
      replicas: [replica('n1', 'RW'), replica('n2', 'ERR'), replica('n3', 'RW')],
    }),
    'internal.volume.lend-snapshot': ({ borrower }: { borrower: string }) => {
      const id = lends.has(FIRST) ? SECOND : FIRST;
      asked.push(`lend to ${borrower}`);
      const code = outcomes.shift() ?? null;
      const error = code === null ? null : lariatError(code, 'as the test says').toRecord();
      lends.set(id, { state: code === null ? 'succeeded' : 'failed', error });
      if (code === null) clones = [{ volume: IMAGE, snapshot: 'snp-1' }];
      return { operation: view(id) };
    },
    'operation.wait': ({ operation }: { operation: string }) => view(operation),
    'operation.get': ({ operation }: { operation: string }) => {
      if (!lends.has(operation)) throw lariatError('OPERATION_NOT_FOUND', 'none');
      return view(operation);
    },
    'operation.cancel': ({ operation }: { operation: string }) => {
      asked.push('cancel');
      lends.set(operation, { state: 'failed', error: null });
    },
    'internal.volume.change': ({ changes }: { changes: readonly { type: string }[] }) => {
      asked.push(...changes.map(({ type }) => type));
      clones = [];
    },
  };

  function begin(
    options: { readonly answers?: Answers; readonly memory?: object } = {},
    store = memoryImages(),
  ): {
    readonly step: ImaginedStep;
    readonly run: (...names: string[]) => Promise<void>;
    readonly undo: () => Promise<void>;
    readonly store: typeof store;
  } {
    const saga = createImageSaga({
      ...{ images: store.images, importer, readers: new Map<string, number>() },
      clock: { nowMs: () => 0, monotonicMs: () => 0 },
      stopping: new AbortController().signal,
    });
    const step = imaginedStep({
      ...{ input, requests, memory: options.memory ?? {} },
      answers: {
        'snapshot.export': () => ({ ...endpoint, allocatedBytes: allocated }),
        'rebuild.read-digests': (_on, { firstCluster, clusters }) => ({
          digests: encodeDigestPage({ digests }, firstCluster, clusters),
        }),
        'image.create-copy': () => ({ lvolUuid: 'draft', sizeBytes: MIB, endpoint }),
        'image.seal-copy': () => ({ lvolUuid: 'lvol', sizeBytes: MIB, allocatedBytes: MIB }),
        'image.digest-copy': () => ({ sha256: 'root', sizeBytes: MIB }),
        ...options.answers,
      },
      undoneFor: lariatError('OPERATION_CANCELLED', 'why').toRecord(),
    });
    return {
      ...{ step, store },
      ...driven(saga.steps as never, step),
    };
  }

  it('is read from a snapshot that is lent to it, and both are given back', async () => {
    const { step, run, store } = begin();
    await run();
    expect(store.records.get(IMAGE)).toMatchObject({ state: 'ready', source: input.source });
    expect(read).toEqual(["replica rep-n1 of volume 'db' on node 'n1'"]);
    expect(step.sent).toEqual([
      'snapshot.export to n1',
      'image.create-copy to n4',
      'snapshot.unexport to n1',
      'image.seal-copy to n4',
      'image.digest-copy to n4',
    ]);
    expect(asked).toEqual(['lend to op-1', 'drop-clone']);
  });

  it('asks once for its snapshot, whoever takes the import up, and again only after a failure', async () => {
    outcomes = ['OPERATION_IN_PROGRESS', null];
    const { step, run } = begin();
    await expect(run('claim', 'borrow')).rejects.toMatchObject({ code: 'OPERATION_IN_PROGRESS' });
    expect(step.memory).toMatchObject({ lendTurn: 1 });
    await run('borrow');
    expect(step.memory).toMatchObject({ lendTurn: 2, snapshot: 'snp-1' });
  });

  it.each(['VOLUME_FAULTED', 'VOLUME_BUSY', 'SNAPSHOT_NOT_FOUND', 'VOLUME_NOT_FOUND'] as const)(
    'ends with %s where the volume can not be read',
    async (code) => {
      outcomes = [code];
      const { step, run, undo } = begin();
      await expect(run()).rejects.toMatchObject({ code });
      await undo();
      expect(step.sent).toEqual([]);
      expect(asked.at(-1)).toBe('drop-clone');
    },
  );

  it('takes another replica in sync, from the first byte on, when one is lost', async () => {
    readings = ['IMAGE_SOURCE_LOST'];
    const { step, run, store } = begin();
    await run('claim', 'borrow', 'import');
    expect(read).toHaveLength(2);
    expect(drafts).toBe(2);
    expect(step.sent).toEqual([
      'snapshot.export to n1',
      'image.create-copy to n4',
      'snapshot.unexport to n1',
      'snapshot.export to n3',
      'image.delete-copy to n4',
      'image.create-copy to n4',
      'snapshot.unexport to n3',
    ]);
    expect(store.records.get(IMAGE)?.copies).toHaveLength(1);
  });

  it('goes to another one where a node does not export it, and fails when none does', async () => {
    const refuses = (nodes: readonly string[]): Answers => ({
      'snapshot.export': (to) => {
        if (nodes.includes(to)) throw lariatError('REPLICA_NOT_FOUND', 'gone');
        return { ...endpoint, allocatedBytes: allocated };
      },
    });
    await begin({ answers: refuses(['n1']) }).run('claim', 'borrow', 'import');
    expect(read).toEqual(["replica rep-n3 of volume 'db' on node 'n3'"]);
    lends.clear();
    await expect(
      begin({ answers: refuses(['n1', 'n3']) }).run('claim', 'borrow', 'import'),
    ).rejects.toMatchObject({ code: 'IMAGE_SOURCE_LOST' });
  });

  it('is read only where there is data, when much of it may be zeros', async () => {
    const [zeros, data] = [Buffer.alloc(MIB), Buffer.alloc(MIB, 1)];
    digests = Buffer.concat([zeros, data, zeros, data].map((cluster) => clusterDigestOf(cluster)));
    allocated = SIZE_BYTES / 2;
    const { step, run } = begin();
    await run('claim', 'borrow', 'import');
    expect(maps).toEqual([[0, 1, 0, 1]]);
    expect(step.sent.slice(0, 2)).toEqual(['snapshot.export to n1', 'rebuild.read-digests to n1']);
    allocated += 1;
    await run('import');
    expect(maps[1]).toBeNull();
  });

  it('is read from another replica where a node does not tell of all clusters', async () => {
    allocated = 0;
    const { step, run } = begin();
    await expect(run('claim', 'borrow', 'import')).rejects.toMatchObject({
      code: 'IMAGE_SOURCE_LOST',
    });
    expect(step.sent.filter((sent) => sent.startsWith('snapshot.'))).toEqual([
      'snapshot.export to n1',
      'snapshot.unexport to n1',
      'snapshot.export to n3',
      'snapshot.unexport to n3',
    ]);
  });

  it('reads no other replica for what is wrong with the draft', async () => {
    readings = ['IMAGE_DRAFT_UNREACHABLE'];
    const { run } = begin();
    await expect(run('claim', 'borrow', 'import')).rejects.toMatchObject({
      code: 'IMAGE_DRAFT_UNREACHABLE',
    });
    expect(read).toHaveLength(1);
  });

  it('keeps what was read when its export can not be closed at once, and closes that in the end', async () => {
    let isSilent = true;
    const answers: Answers = {
      'snapshot.unexport': () => {
        if (isSilent) throw lariatError('DEADLINE_EXCEEDED', 'silent');
        return {};
      },
    };
    const { step, run } = begin({ answers });
    await run('claim', 'borrow', 'import');
    expect(step.memory).toMatchObject({ content, readings: [{ replica: 'rep-n1', node: 'n1' }] });
    await expect(run('return')).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect(asked).not.toContain('drop-clone');
    isSilent = false;
    await run('return');
    expect(asked).toContain('drop-clone');
  });

  it('leaves nothing when it is undone: no export, no draft, no snapshot, and no operation for one', async () => {
    const reading = { volume: 'vol-1', replica: 'rep-n1', node: 'n1', snapshot: 'snp-1' };
    const { step, run, undo, store } = begin();
    await run('claim');
    // Cut off in the middle.
    Object.assign(step.memory, { lendTurn: 1, readings: [reading] });
    lends.set(FIRST, { state: 'running', error: null });
    await undo();
    expect(step.sent).toEqual(['snapshot.unexport to n1']);
    expect(asked).toEqual(['cancel', 'drop-clone']);
    expect(store.records.size).toBe(0);
  });
});
