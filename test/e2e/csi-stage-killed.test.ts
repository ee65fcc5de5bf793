import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { status } from '@grpc/grpc-js';
import { MIB, toLariatError } from '@lariat/kernel';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RecordedFolder } from '../left-over/record.js';
import { CsiPluginProcess, whyNoFileSystems } from './csi-plugin-process.js';
import type { CallEnd } from './csi-calls.js';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';
import { FailingDisk, whyNoFailingDisk } from './failing-disk.js';
import { offersDevices } from './offers-devices.js';

const run = promisify(execFile);
/** After these the orchestrator asks again. */
const ASKED_AGAIN = [status.UNAVAILABLE, status.ABORTED, status.DEADLINE_EXCEEDED];
const SIZES = { ext4: 32 * MIB, xfs: 320 * MIB };
type FsType = keyof typeof SIZES;
const whyNot = whyNoFileSystems();

describe.skipIf(whyNot !== undefined)(`a stage that is killed (${whyNot ?? 'root'})`, () => {
  const node = 'n1';
  let folder: RecordedFolder;
  let e2e: E2eCluster;
  let plugin: CsiPluginProcess;
  let hasDevices = false;

  beforeAll(async () => {
    folder = RecordedFolder.make('lariat-csi-');
    e2e = await startE2e({ nodes: 1, diskSizeBytes: 1024 * MIB });
    hasDevices = offersDevices(await e2e.client.request('node.get', { node }));
    plugin = new CsiPluginProcess({ folder, natsUrl: e2e.cluster.natsUrl, node });
  });
  beforeEach(() => plugin.ensure());

  /** Its agent runs. */
  const nodeIsReady = (): Promise<true> =>
    until('the node to be ready', 60_000, async () => {
      const { state } = await e2e.client.request('node.get', { node });
      const agent = e2e.cluster.processes().find(({ name }) => name === node);
      return state === 'ready' && agent?.state === 'ready' ? true : undefined;
    });
  afterAll(async () => {
    await plugin?.kill();
    await run('umount', [staging()]).catch(() => undefined);
    await e2e?.stop();
    folder?.remove();
  });

  const staging = (): string => plugin.at('staging');
  const accessAs = (fsType: FsType) => ({
    mount: { fsType, mountFlags: [], volumeMountGroup: '' },
    accessMode: { mode: 'SINGLE_NODE_WRITER' },
  });

  interface Volume {
    readonly id: string;
    readonly fsType: FsType;
  }

  async function create(name: string, fsType: FsType = 'ext4'): Promise<Volume> {
    const access = accessAs(fsType);
    const made = await plugin.call('Controller', 'CreateVolume', {
      ...{ name, volumeCapabilities: [access], parameters: { replicas: '1' } },
      capacityRange: { requiredBytes: SIZES[fsType] },
    });
    expect(made).toMatchObject({ code: status.OK });
    const { volumeId } = made.answer['volume'] as { volumeId: string };
    const published = await plugin.call('Controller', 'ControllerPublishVolume', {
      ...{ volumeId, nodeId: node, volumeCapability: access },
    });
    expect(published).toMatchObject({ code: status.OK });
    return { id: volumeId, fsType };
  }
  const stage = ({ id, fsType }: Volume, deadlineMs?: number): Promise<CallEnd> =>
    plugin.call(
      'Node',
      'NodeStageVolume',
      { volumeId: id, stagingTargetPath: staging(), volumeCapability: accessAs(fsType) },
      deadlineMs,
    );
  /** As an orchestrator does: again and again, as long as the code tells it to. */
  const stageUntilDone = (volume: Volume): Promise<true> =>
    until('the volume to be staged', 90_000, async () => {
      const { code, message } = await stage(volume, 20_000);
      if (code === status.OK) return true;
      expect([ASKED_AGAIN.includes(code), message]).toEqual([true, message]);
      return undefined;
    });
  async function unstage({ id }: Volume): Promise<void> {
    const request = { volumeId: id, stagingTargetPath: staging() };
    expect(await plugin.call('Node', 'NodeUnstageVolume', request)).toMatchObject({ code: 0 });
  }
  const contentOf = async ({ id }: Volume) =>
    (await e2e.client.request('volume.get', { volume: id })).content;
  async function deviceOf({ id }: Volume): Promise<string> {
    const { attachment } = await e2e.client.request('volume.get', { volume: id });
    return attachment?.endpoint ?? '';
  }

  /** What lies on the volume must be the same after all that is done to it. */
  interface Written {
    readonly volume: Volume;
    readonly content: unknown;
    readonly sha256: string;
  }
  const file = (): string => join(staging(), 'file');
  const sumOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
  /** Into the volume that is staged, which is unstaged then. */
  async function write(volume: Volume): Promise<Written> {
    plugin.forget();
    const bytes = randomBytes(2 * MIB);
    writeFileSync(file(), bytes, { flush: true });
    const content = await contentOf(volume);
    expect(content).toMatchObject({ state: 'initialised', fsType: volume.fsType });
    const { stdout } = await run('blkid', [
      '-p',
      '-s',
      'UUID',
      '-o',
      'value',
      await deviceOf(volume),
    ]);
    expect(content).toMatchObject({ uuid: stdout.trim() });
    await unstage(volume);
    return { volume, content, sha256: sumOf(bytes) };
  }
  async function expectKept({ volume, content, sha256 }: Written): Promise<void> {
    plugin.forget();
    expect(sumOf(readFileSync(file()))).toBe(sha256);
    expect(await contentOf(volume)).toEqual(content);
    await unstage(volume);
    await remove(volume);
  }
  async function remove({ id: volumeId }: Volume): Promise<void> {
    await nodeIsReady();
    for (const name of ['ControllerUnpublishVolume', 'DeleteVolume'])
      expect(await plugin.call('Controller', name, { volumeId, nodeId: node })).toMatchObject({
        code: status.OK,
      });
  }

  /** One plugin after the other, each killed at a step where none was before, until one has done it all. */
  async function stageThroughKills(volume: Volume, when: 'before' | 'after'): Promise<void> {
    plugin.killAtEachStep(when);
    await until('the volume to be staged', 120_000, async () => {
      const { code } = await stage(volume);
      if (code === status.OK) return true;
      expect(code).toBe(status.UNAVAILABLE);
      await plugin.kill();
      await plugin.start();
      return undefined;
    });
  }
  /** With its agent, or its target, killed before each step, unless it has not come back from the last time. */
  async function stageWhile(volume: Volume, process: string): Promise<number> {
    await nodeIsReady();
    let count = 0;
    const held = plugin.holdEachStep(async () => {
      await e2e.cluster.kill(process).then(
        () => (count += 1),
        (error: unknown) => expect(toLariatError(error).code).toBe('PROCESS_NOT_FOUND'),
      );
    });
    await stageUntilDone(volume);
    await held.stop();
    return count;
  }

  it('with its plugin before each step formats a fresh volume once, and one with content never', async (context) => {
    if (!hasDevices) return context.skip('no agent of this machine makes block devices');
    const volume = await create('before');
    await stageThroughKills(volume, 'before');
    expect(plugin.killed()).toEqual(
      expect.arrayContaining([
        'dd',
        'mkfs.ext4 -q',
        'e2fsck -f',
        'e2fsck -p',
        'mount -t',
        'resize2fs',
      ]),
    );
    // The one that was killed with its plugin never ran.
    expect([plugin.formats(), plugin.journaledFormats(volume.id).length]).toEqual([1, 2]);
    const written = await write(volume);

    await stageThroughKills(volume, 'before');
    expect(plugin.killed()).toEqual(
      expect.arrayContaining(['dd', 'e2fsck -p', 'mount -t', 'resize2fs']),
    );
    expect(plugin.formats()).toBe(0);
    await expectKept(written);
  }, 180_000);

  it('with its plugin after each step formats a fresh volume once', async (context) => {
    if (!hasDevices) return context.skip('no agent of this machine makes block devices');
    const volume = await create('after', 'xfs');
    await stageThroughKills(volume, 'after');
    expect(plugin.killed()).toEqual(
      expect.arrayContaining(['dd', 'mkfs.xfs -q', 'xfs_repair -n', 'mount -t', 'xfs_growfs']),
    );
    expect([plugin.formats(), plugin.journaledFormats(volume.id).length]).toEqual([1, 1]);
    const written = await write(volume);

    plugin.forget();
    await stageUntilDone(volume);
    expect(plugin.formats()).toBe(0);
    await expectKept(written);
  }, 180_000);

  it.each(['n1', 'n1/target'])(
    'with %s before each step formats a fresh volume once, and one with content never',
    async (process) => {
      if (!hasDevices) return;
      const volume = await create(process === 'n1' ? 'agent' : 'target');
      expect(await stageWhile(volume, process)).toBeGreaterThan(0);
      expect(plugin.formats()).toBe(1);
      const written = await write(volume);
      expect(await stageWhile(volume, process)).toBeGreaterThan(0);
      expect(plugin.formats()).toBe(0);
      await expectKept(written);
    },
    180_000,
  );

  it('finds another device in its place, and leaves it and the volume as they are', async (context) => {
    if (!hasDevices) return context.skip('no agent of this machine makes block devices');
    const [volume, other] = [await create('kept'), await create('other')];
    await stageUntilDone(volume);
    const written = await write(volume);
    plugin.forget();
    const path = await deviceOf(volume);
    const { attachment } = await e2e.client.request('volume.get', { volume: volume.id });
    const life = join(`${volume.id}.${attachment?.epoch ?? 0}.9`, 'nbd');
    // An agent that runs would put the path right within half a second.
    await e2e.cluster.kill(node, 'SIGSTOP');
    const devices: [string, () => Promise<{ path: string; close(): Promise<void> }>][] = [
      [
        'another volume',
        async () => ({ path: await deviceOf(other), close: () => Promise.resolve() }),
      ],
      [
        'nothing',
        () => Promise.resolve({ path: plugin.at('nothing'), close: () => Promise.resolve() }),
      ],
      ['zeros', () => FailingDisk.ofZeros(plugin.at('zeros', life), SIZES.ext4)],
      ['errors', () => FailingDisk.ofErrors(plugin.at('errors', life), SIZES.ext4)],
    ];
    const own = (await run('readlink', [path])).stdout.trim();
    const pointTo = (device: string): void => {
      unlinkSync(path);
      symlinkSync(device, path);
    };
    try {
      for (const [what, make] of devices) {
        if (what === 'errors' && whyNoFailingDisk() !== undefined) continue;
        const device = await make();
        try {
          pointTo(device.path);
          const { code, message } = await stage(volume, 2_500);
          expect([what, ASKED_AGAIN.includes(code), message]).toEqual([what, true, message]);
        } finally {
          pointTo(own);
          await device.close();
        }
      }
    } finally {
      await e2e.cluster.kill(node, 'SIGCONT');
    }
    // Looked at, and no more.
    expect(new Set(plugin.ran())).toEqual(new Set(['dd']));
    await stageUntilDone(volume);
    expect(plugin.formats()).toBe(0);
    await expectKept(written);
    expect(await contentOf(other)).toEqual({ state: 'blank' });
    await remove(other);
  }, 180_000);

  it('waits for a node that is gone, and goes on when it is back', async (context) => {
    if (!hasDevices) return context.skip('no agent of this machine makes block devices');
    const volume = await create('gone');
    await stageUntilDone(volume);
    const written = await write(volume);
    plugin.forget();
    await e2e.cluster.killNode(node);
    expect(ASKED_AGAIN).toContain((await stage(volume, 2_500)).code);
    await e2e.cluster.startNode(node);
    await stageUntilDone(volume);
    expect(plugin.formats()).toBe(0);
    await expectKept(written);
  }, 180_000);
});
