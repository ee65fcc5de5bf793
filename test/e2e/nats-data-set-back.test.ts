import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CHECKOUT } from '@lariat/cli';
import type { RecoveryReport, VolumeView } from '@lariat/contracts';
import { MIB, toLariatError } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const SIZE_BYTES = 8 * MIB;

interface Ran {
  readonly code: number;
  readonly stdout: string;
}

/** Runs the command line against the cluster. */
async function lariat(natsUrl: string, ...words: readonly string[]): Promise<Ran> {
  const run = promisify(execFile);
  try {
    const command = [...words, '--nats', natsUrl];
    const { stdout } = await run(join(CHECKOUT, 'lariat'), command, { timeout: 60_000 });
    return { code: 0, stdout };
  } catch (error) {
    return error as Ran;
  }
}

describe('a cluster whose NATS comes back with older data', () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'lariat-e2e-'));
  const backup = mkdtempSync(join(tmpdir(), 'lariat-e2e-'));
  let e2e: E2eCluster;
  beforeAll(async () => {
    e2e = await startE2e({ dataDir });
  });
  afterAll(async () => {
    await e2e.stop();
    for (const folder of [dataDir, backup]) rmSync(folder, { recursive: true, force: true });
  });

  const volume = (): Promise<VolumeView> => e2e.client.request('volume.get', { volume: 'v' });
  const attach = (node: string): Promise<VolumeView> =>
    e2e.client.request('volume.attach', { volume: 'v', node, frontend: 'nbd' });
  const detach = (): Promise<VolumeView> => e2e.client.request('volume.detach', { volume: 'v' });
  const last = randomBytes(MIB);

  it('had a volume that lost a replica after the backup', async () => {
    await e2e.client.request('volume.create', { name: 'v', sizeBytes: SIZE_BYTES, replicas: 3 });
    await e2e.stop('keep');
    cpSync(e2e.cluster.paths.nats, backup, { recursive: true });
    e2e = await startE2e({ dataDir });
    await attach('n1');
    const device = await e2e.open('v');
    await device.write(0, randomBytes(MIB));
    await e2e.cluster.killNode('n3');
    await device.write(0, last);
    await device.close();
    expect(await detach()).toMatchObject({ robustness: 'degraded' });
    await e2e.client.request('snapshot.create', { volume: 'v', snapshot: 'later' });
    await e2e.stop('keep');
    rmSync(e2e.cluster.paths.nats, { recursive: true, force: true });
    cpSync(backup, e2e.cluster.paths.nats, { recursive: true });
    e2e = await startE2e({ dataDir });
  }, 120_000);

  it('lets nobody use it by the old record, which counts the lost replica', async () => {
    const refused = await attach('n3').catch(toLariatError);
    expect(refused).toMatchObject({ code: 'VOLUME_IN_DOUBT' });
    const doubtful = await until('the volume to be let go', 20_000, async () => {
      const view = await volume();
      return view.operation === null ? view : undefined;
    });
    expect(doubtful).toMatchObject({ state: 'detached', robustness: 'faulted' });
    expect(doubtful.inDoubt?.join()).toContain('the store was set back');
    const again = await attach('n3').catch(toLariatError);
    expect(again).toHaveProperty('code', expect.stringMatching(/VOLUME_(IN_DOUBT|FAULTED)/));
  }, 60_000);

  it('has what the nodes know after a recovery, which the command line shows', async () => {
    const { natsUrl } = e2e.cluster;
    const dry = await lariat(natsUrl, 'recover', '--dry-run');
    expect(dry.stdout).toMatch(/would be: 1 recovered/);
    expect(dry.stdout).toMatch(/v +recovered +detached +degraded +8 MiB +1 +/);
    expect(dry.stdout).toContain("'lariat recover' does it");
    const { code, stdout } = await lariat(natsUrl, 'recover', '--json');
    expect(code).toBe(0);
    const report = JSON.parse(stdout) as RecoveryReport;
    expect(report.volumes).toMatchObject([{ name: 'v', outcome: 'recovered', snapshots: 1 }]);
    const again = await lariat(natsUrl, 'recover');
    expect(again.stdout).toContain(
      '1 volume(s) and 0 image(s) are on record as they should be; nothing was changed',
    );

    const { replicas, inDoubt } = await volume();
    expect(inDoubt).toBeUndefined();
    expect(replicas.map(({ node, mode }) => `${node}:${mode}`).toSorted()).toEqual([
      'n1:RW',
      'n2:RW',
      'n3:ERR',
    ]);
    await attach('n3');
    const device = await e2e.open('v');
    expect((await device.read(0, MIB)).equals(last)).toBe(true);
    await device.close();
    await detach();
    await e2e.client.request('volume.delete', { volume: 'v' });
    expect(await e2e.leftovers()).toEqual([]);
  }, 120_000);
});
