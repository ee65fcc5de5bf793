import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { programFile } from '@lariat/cli';
import { MIB } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CsiCaller, csiCaller } from '../e2e/csi-calls.js';
import { whyNoFileSystems } from '../e2e/csi-plugin-process.js';
import { type E2eCluster, startE2e } from '../e2e/e2e-cluster.js';
import { offersDevices } from '../e2e/offers-devices.js';
import { RecordedFolder } from '../left-over/record.js';
import { unmountAllIn } from '../left-over/mounts.js';
import { quantile } from './quantiles.js';

const run = promisify(execFile);
/** LARIAT_BENCH_VOLUMES: fewer, to see whether it works. */
const COUNT = Number(process.env['LARIAT_BENCH_VOLUMES'] ?? '100');
const SIZE_BYTES = 16 * MIB;
/** What comes before and after the stages is not what is measured. */
const IN_FLIGHT = 4;
const DEADLINE_MS = 600_000;
const ACCESS = {
  mount: { fsType: 'ext4', mountFlags: [], volumeMountGroup: '' },
  accessMode: { mode: 'SINGLE_NODE_WRITER' },
};
const missing = whyNoFileSystems();

const print = (line: string): boolean => process.stderr.write(`${line}\n`);

async function times(works: readonly (() => Promise<unknown>)[]): Promise<readonly number[]> {
  return Promise.all(
    works.map(async (work) => {
      const began = performance.now();
      await work();
      return performance.now() - began;
    }),
  );
}

/** Others take the same free number at the same moment. */
async function loopOn(file: string): Promise<string> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const { stdout } = await run('losetup', ['--find', '--show', '--direct-io=on', file]);
      return stdout.trim();
    } catch (error) {
      if (attempt === COUNT) throw error;
    }
  }
}

async function eachOf<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  const left = [...items];
  const worker = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
}

const residentMib = (pid: number | undefined): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? Number.NaN) /
  1024;

describe.skipIf(missing !== undefined)(`stages at once (${missing ?? 'root'})`, () => {
  const node = 'n1';
  let folder: RecordedFolder;
  let e2e: E2eCluster;
  let plugin: ChildProcess;
  let caller: CsiCaller;

  beforeAll(async () => {
    folder = RecordedFolder.make('lariat-csi-');
    e2e = await startE2e({ nodes: 1, diskSizeBytes: 2 * COUNT * SIZE_BYTES });
    const socketPath = join(folder.path, 'csi.sock');
    const flags = ['--endpoint', socketPath, '--nats', e2e.cluster.natsUrl, '--node', node];
    plugin = spawn(
      process.execPath,
      [
        programFile('apps', 'csi-plugin', 'dist', 'main.js'),
        ...[...flags, '--data', join(folder.path, 'data')],
      ],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    );
    folder.note(plugin.pid);
    if (plugin.stdout !== null) await once(plugin.stdout, 'data');
    caller = csiCaller(socketPath);
  });
  afterAll(async () => {
    caller?.close();
    plugin?.kill('SIGKILL');
    await unmountAllIn(folder.path);
    await e2e?.stop();
    folder?.remove();
  });

  const call = async (
    service: 'Controller' | 'Node',
    name: string,
    request: object,
  ): Promise<Readonly<Record<string, unknown>>> => {
    const { code, message, answer } = await caller.call(service, name, request, DEADLINE_MS);
    expect([name, code, message]).toEqual([name, 0, '']);
    return answer;
  };
  const mountsIn = (place: string): number =>
    readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => line.includes(` ${join(folder.path, place)}/`)).length;

  it(
    `mounts ${COUNT} volumes that are staged at once on one node`,
    async (context) => {
      if (!offersDevices(await e2e.client.request('node.get', { node })))
        return context.skip('no agent of this machine makes block devices');
      const names = Array.from({ length: COUNT }, (_, index) => `v${index}`);
      const idOf = new Map<string, string>();
      await eachOf(names, async (name) => {
        const { volume } = await call('Controller', 'CreateVolume', {
          ...{ name, volumeCapabilities: [ACCESS], parameters: { replicas: '1' } },
          capacityRange: { requiredBytes: SIZE_BYTES },
        });
        const { volumeId } = volume as { readonly volumeId: string };
        idOf.set(name, volumeId);
        const published = { volumeId, nodeId: node, volumeCapability: ACCESS };
        await call('Controller', 'ControllerPublishVolume', published);
      });

      const requestOf = (name: string) => ({
        ...{ volumeId: idOf.get(name), volumeCapability: ACCESS },
        stagingTargetPath: join(folder.path, 'staged', name),
      });
      const staged = await times(
        names.map((name) => () => call('Node', 'NodeStageVolume', requestOf(name))),
      );
      expect(mountsIn('staged')).toBe(COUNT);
      const pluginMib = residentMib(plugin.pid);

      const plain = await times(names.map((name) => () => mountPlain(join(folder.path, name))));
      expect(mountsIn('plain')).toBe(COUNT);

      const stagedP99 = quantile(staged, 0.99);
      const plainP99 = quantile(plain, 0.99);
      print(
        `${COUNT} volumes staged at once: p50 ${quantile(staged, 0.5).toFixed(0)} ms, p99 ${stagedP99.toFixed(0)} ms`,
      );
      print(
        `${COUNT} loop devices on plain files, mkfs and mount at once: p50 ${quantile(plain, 0.5).toFixed(0)} ms, p99 ${plainP99.toFixed(0)} ms`,
      );
      print(`p99 of that: ${(stagedP99 / plainP99).toFixed(1)} times`);
      print(`resident memory of the plugin then: ${pluginMib.toFixed(0)} MiB`);

      await eachOf(names, async (name) => {
        await call('Node', 'NodeUnstageVolume', requestOf(name));
        const volumeId = idOf.get(name);
        await call('Controller', 'ControllerUnpublishVolume', { volumeId, nodeId: node });
        await call('Controller', 'DeleteVolume', { volumeId });
      });
      expect(mountsIn('staged')).toBe(0);
    },
    3 * DEADLINE_MS,
  );

  /** What a stage comes down to, without a volume. */
  async function mountPlain(file: string): Promise<void> {
    const at = join(folder.path, 'plain', file.slice(folder.path.length + 1));
    writeFileSync(file, '');
    await truncate(file, SIZE_BYTES);
    const device = await loopOn(file);
    await run('mkfs.ext4', ['-q', '-F', '-m', '0', '-E', 'nodiscard', device]);
    mkdirSync(at, { recursive: true });
    await run('mount', ['-t', 'ext4', device, at]);
  }
});
