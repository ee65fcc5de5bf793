import {
  type ImageRecord,
  clusterDigestOf,
  encodeDigestPage,
  lariatError,
  rootDigestOf,
} from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import { copyOn, imageRecord } from '../testing/image-record.js';
import { memoryImages } from '../testing/memory-images.js';
import { type Answers, type ImaginedStep, imaginedStep } from '../testing/step-context.js';
import { fetchContent } from './fetch-content.js';
import type { ImageSagaDeps } from './saga-deps.js';

/** More than one page of digests. */
const CLUSTERS = 4_100;
const digests = Buffer.concat(
  Array.from({ length: CLUSTERS }, (_, at) => clusterDigestOf(Buffer.alloc(1, at % 7))),
);
const sizeBytes = CLUSTERS * MIB;
const rootSha256 = rootDigestOf({ sizeBytes, digests });
const endpoint = { nqn: 'n', traddr: 'a', trsvcid: '1', uuid: 'u' };

describe('a copy that is fetched', () => {
  const readers = new Map<string, number>();

  function step(
    record: ImageRecord,
    answers: Answers,
    given: { readonly down?: readonly string[]; readonly memory?: object } = {},
  ): { readonly step: ImaginedStep; readonly run: () => Promise<void> } {
    const nodeOf = (name: string) => ({
      ...{ name, state: given.down?.includes(name) === true ? 'down' : 'ready' },
    });
    const made = imaginedStep({
      input: { image: 'img-1', node: 'n9', disk: 'disk-of-n9' },
      memory: { sizeBytes, rootSha256, ...given.memory },
      answers: {
        'image.read-digests': (_node, { firstCluster, clusters }) => ({
          digests: encodeDigestPage({ digests }, firstCluster, clusters),
        }),
        'image.export-copy': () => endpoint,
        'image.fetch-copy': () => ({ copiedClusters: 1 }),
        ...answers,
      },
      requests: {
        'node.list': () => ({ nodes: ['n1', 'n2', 'n3', 'n9'].map(nodeOf) }),
        'node.get': ({ node }: { node: string }) => nodeOf(node),
      },
    });
    const deps = { images: memoryImages(record).images, readers } as unknown as ImageSagaDeps;
    return { step: made, run: () => fetchContent(deps, made.context as never) };
  }

  const exportsOf = ({ sent }: ImaginedStep): readonly string[] =>
    sent.filter((line) => line.startsWith('image.export-copy'));

  it('comes page by page from one of those that are ready, and is journaled as it comes', async () => {
    const copies = [copyOn('n1', { state: 'corrupt' }), copyOn('n2')];
    const { step: made, run } = step(imageRecord({ copies }), {});
    await run();
    expect(exportsOf(made)).toEqual(['image.export-copy to n2']);
    expect(made.sent.filter((line) => line === 'image.fetch-copy to n9')).toHaveLength(2);
    expect(made.memory).toMatchObject({
      fetched: CLUSTERS,
      sources: [{ node: 'n2', disk: 'disk-of-n2' }],
    });
    expect(readers.size).toBe(0);
  });

  it('goes on where it was when it is taken up', async () => {
    const { step: made, run } = step(imageRecord(), {}, { memory: { fetched: 4_096 } });
    await run();
    expect(made.sent.filter((line) => line === 'image.fetch-copy to n9')).toHaveLength(1);
  });

  it('comes from the copy that the fewest read from', async () => {
    readers.set('disk-of-n1', 2);
    readers.set('disk-of-n2', 1);
    const copies = [copyOn('n1'), copyOn('n2')];
    const { step: made, run } = step(imageRecord({ copies }), {});
    await run();
    expect(exportsOf(made)).toEqual(['image.export-copy to n2']);
    expect(readers.get('disk-of-n2')).toBe(1);
    readers.clear();
  });

  it('comes from another when the first is lost on the way, and keeps what it has', async () => {
    const firsts: number[] = [];
    const copies = [copyOn('n1'), copyOn('n2')];
    const { step: made, run } = step(imageRecord({ copies }), {
      'image.fetch-copy': (_node, { firstCluster, source }) => {
        firsts.push(firstCluster);
        if (source.traddr === 'n1' && firstCluster > 0)
          throw lariatError('IMAGE_SOURCE_LOST', 'n1 does not answer');
        return { copiedClusters: 1 };
      },
      'image.export-copy': (node) => ({ ...endpoint, traddr: node }),
    });
    await run();
    expect(firsts).toEqual([0, 4_096, 4_096]);
    expect(made.memory.sources).toHaveLength(2);
  });

  it('never comes from one whose digests are not the image', async () => {
    const wrong = Buffer.from(digests);
    wrong.fill(1, 0, 32);
    const copies = [copyOn('n1'), copyOn('n2')];
    const { step: made, run } = step(imageRecord({ copies }), {
      'image.read-digests': (node, { firstCluster, clusters }) => ({
        digests: encodeDigestPage(
          { digests: node === 'n1' ? wrong : digests },
          firstCluster,
          clusters,
        ),
      }),
    });
    await run();
    expect(exportsOf(made)).toEqual(['image.export-copy to n2']);
  });

  it('fails, with what each source said, when none is left', async () => {
    const copies = [copyOn('n1'), copyOn('n2')];
    const { run } = step(imageRecord({ copies }), {
      'image.export-copy': (node) => {
        throw lariatError('IMAGE_COPY_NOT_FOUND', `${node} has none`);
      },
    });
    await expect(run()).rejects.toMatchObject({
      code: 'IMAGE_COPY_FAILED',
      message: expect.stringMatching(/n1 has none.*n2 has none/) as string,
    });
    const alone = step(imageRecord({ copies }), {}, { down: ['n1', 'n2'] });
    await expect(alone.run()).rejects.toMatchObject({ code: 'IMAGE_COPY_FAILED' });
  });

  it('fails at once when it is its own node that cannot go on', async () => {
    const copies = [copyOn('n1'), copyOn('n2')];
    const { step: made, run } = step(imageRecord({ copies }), {
      'image.fetch-copy': () => {
        throw lariatError('DISK_FULL', 'the disk of n9 is full');
      },
    });
    await expect(run()).rejects.toMatchObject({ code: 'DISK_FULL' });
    expect(exportsOf(made)).toHaveLength(1);
  });
});
