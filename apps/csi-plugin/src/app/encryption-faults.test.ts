import type { VolumeContent } from '@lariat/contracts';
import { describe, expect, it } from 'vitest';
import { Refusal } from '../domain/refusal.js';
import { FakeNode, VOLUME, superblock } from '../testing/fake-node.js';
import { FAULTS, callsOn, hurried } from '../testing/faulty-stage.js';

const HEADER = '22222222-2222-4222-8222-222222222222';
const UUID = '11111111-1111-4111-8111-111111111111';
const STAGING = '/staging';
const PASSPHRASE = 'correct horse battery staple';

const request = (over: object = {}) => ({
  ...{ volumeId: VOLUME, stagingTargetPath: STAGING, publishContext: {} },
  volumeContext: { encrypted: 'true' },
  secrets: { encryptionPassphrase: PASSPHRASE },
  volumeCapability: {
    mount: { fsType: '', mountFlags: [], volumeMountGroup: '' },
    accessMode: { mode: 'SINGLE_NODE_WRITER' as const },
  },
  ...over,
});

const block = {
  volumeCapability: { block: {}, accessMode: { mode: 'SINGLE_NODE_WRITER' as const } },
};

async function endOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'OK';
  } catch (error) {
    return error instanceof Refusal ? error.status : (error as Error).name;
  }
}
const stage = (node: FakeNode, over: object = {}): Promise<string> =>
  endOf(callsOn(node).NodeStageVolume(request(over), hurried));
const unstage = (node: FakeNode): Promise<string> =>
  endOf(callsOn(node).NodeUnstageVolume({ volumeId: VOLUME, stagingTargetPath: STAGING }, hurried));

const header = (inside: VolumeContent): VolumeContent => ({
  ...{ state: 'initialised', fsType: 'crypto_LUKS', uuid: HEADER, inside },
});
const blank = (): FakeNode => new FakeNode();
/** With a file system under its header. */
function filled(content = header({ state: 'initialised', fsType: 'ext4', uuid: UUID })): FakeNode {
  const node = new FakeNode();
  Object.assign(node, { content, passphrase: PASSPHRASE, inner: superblock('ext4', UUID) });
  node.head = superblock('crypto_LUKS', HEADER);
  return node;
}
const clone = (): FakeNode => filled({ state: 'foreign' });

/** All that its devices hold; a copy. */
const bytesOf = ({ head, inner, otherHead }: FakeNode): Buffer =>
  Buffer.concat([head, inner, otherHead]);

const mountedFrom = (node: FakeNode): readonly string[] =>
  node.mounted.filter(({ path }) => path === STAGING).map(({ source }) => source);

async function momentsOf(make: () => FakeNode): Promise<number> {
  const node = make();
  expect(await stage(node)).toBe('OK');
  return node.moments;
}

describe('a stage of an encrypted volume that something happens to at any moment', () => {
  it.each(FAULTS)(
    'makes neither header nor file system where there are some: %s',
    async (fault) => {
      for (const make of [filled, clone]) {
        const moments = await momentsOf(make);
        expect(moments).toBeGreaterThan(12);
        for (let moment = 1; moment <= moments; moment += 1) {
          const node = make();
          const before = bytesOf(node);
          node.arm(fault, moment);
          const ended = await stage(node);
          expect(['OK', 'UNAVAILABLE', 'ABORTED', 'Died', 'FAILED_PRECONDITION']).toContain(ended);
          node.heal();
          expect([moment, await stage(node), mountedFrom(node)]).toEqual([
            moment,
            'OK',
            ['/dev/dm-0'],
          ]);
          expect([...node.formatted, ...node.headersMade]).toEqual([]);
          expect(bytesOf(node).equals(before)).toBe(true);
        }
      }
    },
  );

  it.each(FAULTS)('ends with a fresh one formatted under its header: %s', async (fault) => {
    const moments = await momentsOf(blank);
    for (let moment = 1; moment <= moments; moment += 1) {
      const node = blank();
      const other = Buffer.from(node.otherHead);
      node.arm(fault, moment);
      await stage(node);
      node.heal();
      expect([moment, await stage(node), mountedFrom(node)]).toEqual([moment, 'OK', ['/dev/dm-0']]);
      expect(node.content).toMatchObject({
        ...{ state: 'initialised', fsType: 'crypto_LUKS' },
        inside: { state: 'initialised', fsType: 'ext4' },
      });
      expect(node.head.equals(superblock('crypto_LUKS', node.uuid))).toBe(true);
      expect(node.otherHead.equals(other)).toBe(true);
      expect(await unstage(node)).toBe('OK');
      expect([node.mapped, node.mounted]).toEqual([[], []]);
    }
  });
});

describe('an encrypted volume', () => {
  it('gets its header and its file system once, however often it is staged', async () => {
    const node = blank();
    for (let time = 0; time < 3; time += 1) {
      expect([await stage(node), mountedFrom(node)]).toEqual(['OK', ['/dev/dm-0']]);
      expect([await unstage(node), node.mapped]).toEqual(['OK', []]);
    }
    expect([...node.headersMade, ...node.formatted]).toEqual([
      'cryptsetup luksFormat',
      'mkfs.ext4',
    ]);
  });

  it.each<[string, () => FakeNode, object, string]>([
    ['without a passphrase', blank, { secrets: {} }, 'INVALID_ARGUMENT'],
    ['with an empty one', filled, { secrets: { encryptionPassphrase: '' } }, 'INVALID_ARGUMENT'],
    [
      'with one that is too long',
      blank,
      { secrets: { encryptionPassphrase: 'x'.repeat(513) } },
      'INVALID_ARGUMENT',
    ],
    [
      'with another one',
      filled,
      { secrets: { encryptionPassphrase: 'another' } },
      'FAILED_PRECONDITION',
    ],
    [
      'by a class that does not know of it',
      filled,
      { volumeContext: {}, secrets: {} },
      'INVALID_ARGUMENT',
    ],
  ])('%s is not opened, and nothing is made', async (_what, make, over, ended) => {
    const node = make();
    const head = Buffer.from(node.head);
    expect(await stage(node, over)).toBe(ended);
    expect([node.mapped, node.mounted, node.formatted, node.headersMade]).toEqual([[], [], [], []]);
    expect(node.head.equals(head)).toBe(true);
  });

  it('is not taken for one when it holds data that are not encrypted', async () => {
    const node = new FakeNode();
    node.content = { state: 'initialised', fsType: 'ext4', uuid: UUID };
    node.head = superblock('ext4', UUID);
    for (const over of [{}, block]) expect(await stage(node, over)).toBe('FAILED_PRECONDITION');
    expect([node.headersMade, node.mounted, node.mapped]).toEqual([[], [], []]);
  });

  it('with data under its header that are not on record is not formatted', async () => {
    const node = filled(header({ state: 'blank' }));
    expect(await stage(node)).toBe('FAILED_PRECONDITION');
    expect([node.formatted, node.headersMade]).toEqual([[], []]);
  });

  it('of a device that is another one now is opened anew, and what is dead is put away', async () => {
    const node = filled();
    expect(await stage(node)).toBe('OK');
    node.epoch += 1;
    expect([await stage(node), mountedFrom(node)]).toEqual(['OK', ['/dev/dm-0']]);
    expect(node.mapped.map(({ name }) => name)).toEqual([`lariat-${VOLUME}-${node.epoch}.1`]);
  });

  it('as a block device is shown under its header, and never formatted', async () => {
    const node = blank();
    expect(await stage(node, block)).toBe('OK');
    expect([node.headersMade.length, node.formatted]).toEqual([1, []]);
    expect(node.content).toMatchObject({ fsType: 'crypto_LUKS', inside: { state: 'foreign' } });
    const published = callsOn(node).NodePublishVolume(
      { ...request(block), targetPath: '/a', readonly: false },
      hurried,
    );
    expect(await endOf(published)).toBe('OK');
    expect(node.mounted).toMatchObject([{ path: '/a', source: '/dev/dm-0' }]);
    expect(await unstage(node)).toBe('ABORTED');
    node.mounted = [];
    expect([await unstage(node), node.mapped]).toEqual(['OK', []]);
  });

  it('grows with its device, by the passphrase that it was made with', async () => {
    const node = filled();
    await stage(node);
    const expand = (secrets: Readonly<Record<string, string>>): Promise<string> =>
      endOf(
        callsOn(node).NodeExpandVolume(
          {
            ...request(),
            ...{ volumePath: STAGING, capacityRange: null, secrets },
          },
          hurried,
        ),
      );
    expect(await expand({})).toBe('INVALID_ARGUMENT');
    node.commands.length = 0;
    expect(await expand({ encryptionPassphrase: PASSPHRASE })).toBe('OK');
    expect(node.commands).toEqual(['cryptsetup resize', 'resize2fs']);
  });
});
