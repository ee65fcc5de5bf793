import { type ErrorCode, lariatError } from '@lariat/contracts';
import { MIB, deriveImageId } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import type { Importer } from '../ports/importer.port.js';
import { imageRecord } from '../testing/image-record.js';
import { type MemoryImages, memoryImages } from '../testing/memory-images.js';
import {
  type Answers,
  type ImaginedStep,
  type StepSetting,
  driven,
  imaginedStep,
} from '../testing/step-context.js';
import { type CreateImageInput, createImageSaga } from './create-image.saga.js';

const IMAGE = deriveImageId('op-1');
const input: CreateImageInput = {
  ...{ name: 'debian', source: { url: 'https://user:secret@images/debian?signature=1' } },
  ...{ checksum: null, format: null, minimumCopies: 1, labels: {} },
};
const content = {
  ...{ format: 'raw' as const, sizeBytes: MIB, contentBytes: MIB, dataClusters: 1 },
  checksums: { file: null, content: null, rootSha256: 'root' },
};
const endpoint = { nqn: 'n', traddr: 'a', trsvcid: '1', uuid: 'u' };
const disk = (node: string) => ({
  ...{ id: `disk-of-${node}`, node, schedulable: true, availableBytes: node === 'n1' ? 9e9 : 8e9 },
});
const node = (name: string) => ({ name, state: 'ready', schedulable: true, disks: [disk(name)] });

const importing: Importer = {
  import: async ({ openDraft, onProgress }) => {
    const base = { totalBytes: MIB, bytesPerSecond: 1, etaMs: 1 };
    onProgress({ phase: 'downloading', doneBytes: 0, ...base });
    onProgress({ phase: 'writing', doneBytes: 0, ...base });
    await openDraft(MIB);
    return content;
  },
};

describe('an import', () => {
  function begin(
    store: MemoryImages,
    options: {
      readonly answers?: Answers;
      readonly importer?: Importer;
      readonly undoneFor?: ErrorCode;
      readonly source?: CreateImageInput['source'];
      readonly requests?: StepSetting<unknown>['requests'];
    } = {},
  ): {
    readonly step: ImaginedStep;
    readonly run: (...names: string[]) => Promise<void>;
    readonly undo: () => Promise<void>;
  } {
    const { importer = importing, undoneFor, source = input.source } = options;
    const saga = createImageSaga({
      ...{ images: store.images, importer, readers: new Map<string, number>() },
      clock: { nowMs: () => 0, monotonicMs: () => 0 },
      stopping: new AbortController().signal,
    });
    const step = imaginedStep({
      input: { ...input, source },
      answers: {
        'image.create-copy': () => ({ lvolUuid: 'draft', sizeBytes: MIB, endpoint }),
        'image.seal-copy': () => ({ lvolUuid: 'lvol', sizeBytes: MIB, allocatedBytes: MIB }),
        'image.digest-copy': () => ({ sha256: 'root', sizeBytes: MIB }),
        ...options.answers,
      },
      requests: {
        'node.list': () => ({ nodes: ['n1', 'n2'].map(node) }),
        'node.get': (body: { node: string }) => node(body.node),
        ...options.requests,
      },
      ...(undoneFor === undefined ? {} : { undoneFor: lariatError(undoneFor, 'why').toRecord() }),
    });
    return {
      step,
      ...driven(saga.steps as never, step),
    };
  }

  it('ends with an image on record that has one copy, and tells no secret of its source', async () => {
    const store = memoryImages();
    const { step, run } = begin(store);
    await run();
    const record = store.records.get(IMAGE);
    expect(record).toMatchObject({
      ...{ state: 'ready', operation: null, ...content },
      copies: [{ node: 'n1', state: 'ready', lvolUuid: 'lvol' }],
    });
    expect(store.told).toEqual(['ready']);
    expect(JSON.stringify(record)).not.toMatch(/secret|signature/);
    expect(step.sent).toEqual([
      'image.create-copy to n1',
      'image.seal-copy to n1',
      'image.digest-copy to n1',
    ]);
  });

  it('is on record with its copy before the node is told to make it', async () => {
    const store = memoryImages();
    let seen: unknown;
    const { run } = begin(store, {
      answers: {
        'image.create-copy': () => {
          seen = structuredClone(store.records.get(IMAGE));
          return { lvolUuid: 'draft', sizeBytes: MIB, endpoint };
        },
      },
    });
    await run('claim', 'import');
    expect(seen).toMatchObject({
      copies: [{ node: 'n1', disk: 'disk-of-n1', state: 'fetching' }],
    });
  });

  it('begins on a fresh draft when it is taken up, and gives up what there was', async () => {
    const store = memoryImages();
    const { step, run } = begin(store);
    await run('claim', 'import');
    await run('import');
    expect(step.sent).toEqual([
      'image.create-copy to n1',
      'image.delete-copy to n1',
      'image.create-copy to n1',
    ]);
    expect(store.records.get(IMAGE)?.copies).toHaveLength(1);
  });

  it('goes to another disk when the first turns out to be full', async () => {
    const store = memoryImages();
    const { step, run } = begin(store, {
      answers: {
        'image.create-copy': (to) => {
          if (to === 'n1') throw lariatError('DISK_FULL', 'full');
          return { lvolUuid: 'draft', sizeBytes: MIB, endpoint };
        },
      },
    });
    await run('claim', 'import');
    expect(step.sent).toEqual([
      'image.create-copy to n1',
      'image.delete-copy to n1',
      'image.create-copy to n2',
    ]);
    expect(store.records.get(IMAGE)?.copies).toMatchObject([{ node: 'n2' }]);
  });

  it('that was taken for dead begins no other copy once another instance has ended it', async () => {
    const store = memoryImages();
    const late: Importer = {
      import: async (task) => {
        const record = store.records.get(IMAGE);
        if (record !== undefined)
          store.records.set(IMAGE, { ...record, state: 'ready', operation: null });
        return importing.import(task);
      },
    };
    const { step, run } = begin(store, { importer: late });
    await expect(run('claim', 'import')).rejects.toMatchObject({ code: 'IMAGE_NOT_READY' });
    expect(step.sent).toEqual([]);
    expect(store.records.get(IMAGE)).toMatchObject({ state: 'ready', copies: [] });
  });

  it('has the agent of a node answer for its file, as often as it is needed, until the node is gone', async () => {
    const path = '/srv/a.img';
    const version = { sizeBytes: MIB, mtimeNs: '1', inode: '2' };
    let state = 'ready';
    const asking: Importer = {
      import: async ({ source, serveFile }) => {
        expect(source).toEqual({ file: { node: 'n2', path } });
        expect(await serveFile('n2', { path, token: 't', expected: null }, 1)).toEqual(version);
        await serveFile('n2', { path, token: 't', expected: version }, 1);
        state = 'down';
        await serveFile('n2', { path, token: 't', expected: version }, 1);
        return content;
      },
    };
    const { step, run } = begin(memoryImages(), {
      importer: asking,
      source: { file: { node: 'n2', path } },
      answers: { 'image.serve-file': () => version },
      requests: { 'node.get': () => ({ ...node('n2'), state }) },
    });
    await expect(run('claim', 'import')).rejects.toMatchObject({ code: 'NODE_NOT_READY' });
    expect(step.sent).toEqual(['image.serve-file to n2', 'image.serve-file to n2']);
    // The answer to the first is none to the second: the agent was restarted since.
    expect(step.keys).toEqual(['t/1', 't/2']);
  });

  it('is not ready when the copy does not read as it was written', async () => {
    const store = memoryImages();
    const { run } = begin(store, {
      answers: { 'image.digest-copy': () => ({ sha256: 'other', sizeBytes: MIB }) },
    });
    await expect(run()).rejects.toMatchObject({
      ...{ code: 'IMAGE_COPY_CORRUPT', details: { expected: 'root', found: 'other' } },
    });
    expect(store.records.get(IMAGE)?.state).toBe('verifying');
  });

  it('leaves its failure on record, under its name, and no copy', async () => {
    const store = memoryImages();
    const { step, run, undo } = begin(store, { undoneFor: 'IMAGE_CHECKSUM_MISMATCH' });
    await run('claim', 'import');
    await undo();
    expect(step.sent.at(-1)).toBe('image.delete-copy to n1');
    expect(store.records.get(IMAGE)).toMatchObject({
      ...{ state: 'failed', copies: [], operation: null },
      failure: { code: 'IMAGE_CHECKSUM_MISMATCH' },
    });
    expect(store.names.get('debian')).toBe(IMAGE);
    await undo();
    expect(store.records.get(IMAGE)?.state).toBe('failed');
  });

  it('leaves nothing when it is cancelled', async () => {
    const store = memoryImages();
    const { run, undo } = begin(store, { undoneFor: 'OPERATION_CANCELLED' });
    await run('claim', 'import');
    await undo();
    expect([store.records.size, store.names.size]).toEqual([0, 0]);
  });

  it('takes the name of one that failed, and of no other', async () => {
    const store = memoryImages(imageRecord({ id: 'img-0', state: 'failed', copies: [] }));
    await begin(store).run('claim');
    expect(store.removed).toEqual(['replaced']);
    expect(store.names.get('debian')).toBe(IMAGE);
    for (const given of [{ state: 'ready' }, { state: 'failed', operation: 'op-9' }] as const) {
      const taken = memoryImages(imageRecord({ id: 'img-0', ...given }));
      const { run, undo } = begin(taken, { undoneFor: 'IMAGE_NAME_TAKEN' });
      await expect(run('claim')).rejects.toMatchObject({ code: 'IMAGE_NAME_TAKEN' });
      await undo();
      expect(taken.names.get('debian')).toBe('img-0');
      expect([...taken.records.keys()]).toEqual(['img-0']);
    }
  });
});
