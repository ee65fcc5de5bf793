import type { VolumeContent } from '@lariat/contracts';
import { describe, expect, it } from 'vitest';
import { Refusal } from '../domain/refusal.js';
import { FakeNode, VOLUME, superblock } from '../testing/fake-node.js';
import { FAULTS, callsOn, hurried } from '../testing/faulty-stage.js';

const UUID = '11111111-1111-4111-8111-111111111111';
const STAGING = '/staging';

const capability = (over: object = {}) => ({
  mount: { fsType: '', mountFlags: [], volumeMountGroup: '' },
  accessMode: { mode: 'SINGLE_NODE_WRITER' as const },
  ...over,
});

const stageRequest = (over: object = {}) => ({
  ...{ volumeId: VOLUME, stagingTargetPath: STAGING, volumeContext: {}, publishContext: {} },
  secrets: {},
  volumeCapability: capability(over),
});

/** `OK`, or how the call ended. */
async function stage(node: FakeNode, over: object = {}): Promise<string> {
  try {
    await callsOn(node).NodeStageVolume(stageRequest(over), hurried);
    return 'OK';
  } catch (error) {
    return error instanceof Refusal ? error.status : (error as Error).name;
  }
}

function newNode(content: VolumeContent, head?: Buffer): FakeNode {
  const node = new FakeNode();
  node.content = content;
  if (head !== undefined) node.head = head;
  return node;
}

const recorded = { fsType: 'ext4', uuid: UUID };
const blank = (): FakeNode => newNode({ state: 'blank' });
const initialised = (): FakeNode =>
  newNode({ state: 'initialised', ...recorded }, superblock('ext4', UUID));
const foreign = (): FakeNode => newNode({ state: 'foreign' }, superblock('xfs', UUID));

const isMounted = (node: FakeNode): boolean =>
  node.mounted.filter(({ path }) => path === STAGING).length === 1;

/** How many moments a stage has that nothing happens to. */
async function momentsOf(make: () => FakeNode): Promise<number> {
  const node = make();
  expect(await stage(node)).toBe('OK');
  return node.moments;
}

describe('a stage that something happens to at any moment', () => {
  it.each(FAULTS)('of a volume with content never formats it: %s', async (fault) => {
    for (const make of [initialised, foreign]) {
      const moments = await momentsOf(make);
      expect(moments).toBeGreaterThan(8);
      for (let moment = 1; moment <= moments; moment += 1) {
        const node = make();
        const before = Buffer.from(node.head);
        const other = Buffer.from(node.otherHead);
        node.arm(fault, moment);
        const ended = await stage(node);
        expect(['OK', 'UNAVAILABLE', 'ABORTED', 'Died', 'FAILED_PRECONDITION']).toContain(ended);
        node.heal();
        expect([moment, await stage(node), isMounted(node)]).toEqual([moment, 'OK', true]);
        expect(node.formatted).toEqual([]);
        expect(node.head.equals(before) && node.otherHead.equals(other)).toBe(true);
      }
    }
  });

  it.each(FAULTS)('of a fresh volume mounts it in the end, formatted: %s', async (fault) => {
    const moments = await momentsOf(blank);
    for (let moment = 1; moment <= moments; moment += 1) {
      const node = blank();
      node.arm(fault, moment);
      await stage(node);
      node.heal();
      expect([moment, await stage(node), isMounted(node)]).toEqual([moment, 'OK', true]);
      expect(node.content.state).toBe('initialised');
      expect(node.head.equals(superblock('ext4', node.uuid))).toBe(true);
      // On the intent alone: never once it is on record that there is a file system.
      const wrong = node.formats.filter((record) => record !== 'format-intended');
      expect([moment, wrong]).toEqual([moment, []]);
    }
  });

  it('formats a fresh volume exactly once, however often it is staged', async () => {
    const node = blank();
    for (let time = 0; time < 3; time += 1) {
      expect(await stage(node)).toBe('OK');
      await callsOn(node).NodeUnstageVolume(
        { volumeId: VOLUME, stagingTargetPath: STAGING },
        hurried,
      );
      expect(node.mounted).toEqual([]);
    }
    expect(node.formatted).toEqual(['mkfs.ext4']);
  });
});

describe('a stage', () => {
  it.each<[string, VolumeContent, Buffer, string]>([
    [
      'that finds data where there is none on record',
      { state: 'blank' },
      superblock('xfs', UUID),
      'FAILED_PRECONDITION',
    ],
    [
      'that finds nothing to mount',
      { state: 'foreign' },
      Buffer.alloc(131_072),
      'FAILED_PRECONDITION',
    ],
    [
      'that reads zeros where there is a file system',
      { state: 'initialised', ...recorded },
      Buffer.alloc(131_072),
      'UNAVAILABLE',
    ],
    [
      'that reads another file system than is on record',
      { state: 'initialised', ...recorded },
      superblock('xfs', UUID),
      'UNAVAILABLE',
    ],
  ])('%s formats nothing', async (_what, content, head, ended) => {
    const node = newNode(content, head);
    expect(await stage(node)).toBe(ended);
    expect(node.formatted).toEqual([]);
    expect(node.mounted).toEqual([]);
  });

  it('of a block device is the end of formatting', async () => {
    const node = blank();
    expect(await stage(node, { mount: null, block: {} })).toBe('OK');
    expect(node.content).toEqual({ state: 'foreign' });
    expect(await stage(node)).toBe('FAILED_PRECONDITION');
    expect(node.formatted).toEqual([]);
  });

  it('puts a mount that is dead away and mounts again', async () => {
    const node = initialised();
    expect(await stage(node)).toBe('OK');
    node.epoch += 1;
    expect(await stage(node)).toBe('OK');
    expect(isMounted(node)).toBe(true);
    expect(node.commands.filter((program) => program === 'umount')).toHaveLength(1);
  });
});

describe('a publish', () => {
  const publish = (node: FakeNode, targetPath: string, over: object = {}): Promise<string> =>
    callsOn(node)
      .NodePublishVolume(
        {
          ...stageRequest(over),
          ...{ targetPath, readonly: false, ...over },
        },
        hurried,
      )
      .then(
        () => 'OK',
        (error: unknown) => (error instanceof Refusal ? error.status : String(error)),
      );

  it('needs what is staged, shows it as often as it is asked for, and takes it away', async () => {
    const node = initialised();
    expect(await publish(node, '/a')).toBe('FAILED_PRECONDITION');
    await stage(node);
    for (let time = 0; time < 2; time += 1) expect(await publish(node, '/a')).toBe('OK');
    expect(node.mounted.filter(({ path }) => path === '/a')).toHaveLength(1);
    expect(await publish(node, '/a', { readonly: true })).toBe('ALREADY_EXISTS');
    expect(await publish(node, '/b', { readonly: true })).toBe('OK');
    expect(node.mounted.find(({ path }) => path === '/b')?.options).toContain('ro');
    const single = { accessMode: { mode: 'SINGLE_NODE_SINGLE_WRITER' } };
    expect(await publish(node, '/c', single)).toBe('FAILED_PRECONDITION');
    for (const targetPath of ['/a', '/b', '/never'])
      await callsOn(node).NodeUnpublishVolume({ volumeId: VOLUME, targetPath }, hurried);
    expect(node.mounted.map(({ path }) => path)).toEqual([STAGING]);
    expect(await publish(node, '/c', single)).toBe('OK');
  });

  it('of a mount whose device is gone is refused, and its statistics say so', async () => {
    const node = initialised();
    await stage(node);
    await publish(node, '/a');
    const stats = () =>
      callsOn(node).NodeGetVolumeStats(
        { volumeId: VOLUME, volumePath: '/a', stagingTargetPath: '' },
        hurried,
      );
    expect((await stats()).usage[0]).toEqual({
      ...{ unit: 'BYTES', total: '409600', available: '204800', used: '204800' },
    });
    node.device = 'failing';
    expect(await publish(node, '/b')).toBe('FAILED_PRECONDITION');
    expect((await stats()).volumeCondition.abnormal).toBe(true);
  });
});
