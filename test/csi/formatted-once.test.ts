import { mkdtempSync, readFileSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { type RunningPlugin, readConfig, startPlugin } from '@lariat/csi-plugin';
import { MIB } from '@lariat/kernel';
import { createLog } from '@lariat/telemetry';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from '../e2e/e2e-cluster.js';
import { type CallEnd, type CsiCaller, csiCaller } from './csi-calls.js';
import { offersDevices } from './offers-devices.js';

const access = {
  mount: { fsType: 'ext4', mountFlags: [], volumeMountGroup: '' },
  accessMode: { mode: 'SINGLE_NODE_WRITER' },
};
/** After these the orchestrator asks again. */
const ASKED_AGAIN = [status.OK, status.UNAVAILABLE, status.ABORTED, status.DEADLINE_EXCEEDED];

describe('a volume that is staged while its node fails', () => {
  const folder = mkdtempSync(join(tmpdir(), 'lariat-csi-'));
  const [socketPath, data] = [join(folder, 'csi.sock'), join(folder, 'data')];
  const [staging, target] = [join(folder, 'staging'), join(folder, 'target')];
  let e2e: E2eCluster;
  let plugin: RunningPlugin;
  let csi: CsiCaller;
  let node = '';
  let hasDevices = false;

  beforeAll(async () => {
    e2e = await startE2e({ nodes: 1 });
    node = e2e.cluster.processes().find(({ kind }) => kind === 'agent')?.name ?? '';
    hasDevices = offersDevices(await e2e.client.request('node.get', { node }));
    const flags = ['--endpoint', socketPath, '--nats', e2e.cluster.natsUrl, '--node', node];
    const config = readConfig([...flags, '--data', data], {});
    plugin = await startPlugin(config, createLog('csi-plugin', 'error'));
    csi = csiCaller(socketPath);
  });

  afterAll(async () => {
    csi?.close();
    await plugin?.close();
    await e2e?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const create = async (name: string): Promise<string> => {
    const made = await csi.call('Controller', 'CreateVolume', {
      ...{ name, volumeCapabilities: [access], parameters: { replicas: '1' } },
      capacityRange: { requiredBytes: 32 * MIB },
    });
    expect(made).toMatchObject({ code: status.OK });
    const { volumeId } = made.answer['volume'] as { volumeId: string };
    const published = await csi.call('Controller', 'ControllerPublishVolume', {
      ...{ volumeId, nodeId: node, volumeCapability: access },
    });
    expect(published).toMatchObject({ code: status.OK });
    return volumeId;
  };
  const stage = (volumeId: string, deadlineMs?: number): Promise<CallEnd> =>
    csi.call(
      'Node',
      'NodeStageVolume',
      { volumeId, stagingTargetPath: staging, volumeCapability: access },
      deadlineMs,
    );
  const unstage = (volumeId: string): Promise<CallEnd> =>
    csi.call('Node', 'NodeUnstageVolume', { volumeId, stagingTargetPath: staging });
  const staged = (volumeId: string): Promise<true> =>
    until('the volume to be staged', 60_000, async () =>
      (await stage(volumeId, 10_000)).code === status.OK ? true : undefined,
    );
  /** Of the journal, what has begun. */
  const formats = (volumeId: string): readonly string[] =>
    readFileSync(join(data, 'commands.jsonl'), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { program: string; volume: string; is: string })
      .filter((fact) => fact.volume === volumeId && fact.is === 'begun')
      .flatMap(({ program }) => (program.startsWith('mkfs') ? [program] : []));

  it('is formatted exactly once, and keeps what was written', async (context) => {
    if (!hasDevices) return context.skip('no agent of this machine makes block devices');
    const [volumeId, other] = [await create('kept'), await create('other')];
    expect(await stage(volumeId)).toMatchObject({ code: status.OK });
    const { content } = await e2e.client.request('volume.get', { volume: volumeId });
    expect(content).toMatchObject({ state: 'initialised', fsType: 'ext4' });
    const shown = { volumeId, stagingTargetPath: staging, targetPath: target };
    expect(
      await csi.call('Node', 'NodePublishVolume', { ...shown, volumeCapability: access }),
    ).toMatchObject({ code: status.OK });
    writeFileSync(join(target, 'file'), 'what was written', { flush: true });
    await csi.call('Node', 'NodeUnpublishVolume', shown);
    expect(await unstage(volumeId)).toMatchObject({ code: status.OK });

    // Agent and target die; whatever the device is then, it is not empty.
    await e2e.cluster.killNode(node);
    expect(ASKED_AGAIN).toContain((await stage(volumeId, 3_000)).code);
    await e2e.cluster.startNode(node);
    await staged(volumeId);
    expect(readFileSync(join(staging, 'file'), 'utf8')).toBe('what was written');
    expect(await unstage(volumeId)).toMatchObject({ code: status.OK });

    // The device of another, empty volume is at the path.
    const { attachment } = await e2e.client.request('volume.get', { volume: volumeId });
    const { attachment: theirs } = await e2e.client.request('volume.get', { volume: other });
    unlinkSync(attachment?.endpoint ?? '');
    symlinkSync(theirs?.endpoint ?? '', attachment?.endpoint ?? '');
    expect(ASKED_AGAIN).toContain((await stage(volumeId, 2_000)).code);
    await staged(volumeId);
    expect(readFileSync(join(staging, 'file'), 'utf8')).toBe('what was written');
    expect(await unstage(volumeId)).toMatchObject({ code: status.OK });

    expect(formats(volumeId)).toEqual(['mkfs.ext4']);
    expect(formats(other)).toEqual([]);
    expect((await e2e.client.request('volume.get', { volume: volumeId })).content).toEqual(content);
    expect((await e2e.client.request('volume.get', { volume: other })).content).toEqual({
      state: 'blank',
    });
  }, 180_000);
});
