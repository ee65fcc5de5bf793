import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type RunningPlugin, readConfig, startPlugin } from '@lariat/csi-plugin';
import { MIB } from '@lariat/kernel';
import { createLog } from '@lariat/telemetry';
import type { ClusterOptions } from '@lariat/cli';
import { type E2eCluster, startE2e } from '../e2e/e2e-cluster.js';
import { offersDevices } from '../e2e/offers-devices.js';
import { RecordedFolder } from '../left-over/record.js';
import { type SanityResult, runSanity } from './csi-sanity.js';
import { MAY_SKIP, NEEDS_DEVICE, NO_DEVICES, type SkippedSpecs } from './skipped-specs.js';

export type SanityAccess = 'mount' | 'block';

/** What of a run must be as many as this at least: a report that says nothing has failed may have looked at nothing. */
const LEAST = { withDevices: 70, without: 50 };

/** A cluster with a plugin for its first node, and csi-sanity's runs against it. */
export class SanityWorld {
  private constructor(
    readonly e2e: E2eCluster,
    private readonly folder: RecordedFolder,
    private readonly plugin: RunningPlugin,
    readonly hasDevices: boolean,
  ) {}

  static async start(options: Partial<ClusterOptions>): Promise<SanityWorld> {
    const folder = RecordedFolder.make('lariat-csi-');
    const e2e = await startE2e(options);
    const node = 'n1';
    const hasDevices = offersDevices(await e2e.client.request('node.get', { node }));
    const flags = ['--nats', e2e.cluster.natsUrl, '--node', node];
    const places = [
      '--endpoint',
      join(folder.path, 'csi.sock'),
      '--data',
      join(folder.path, 'data'),
    ];
    const log = createLog('csi-plugin', 'error');
    const env = { LARIAT_NATS_CREDENTIALS: e2e.cluster.paths.credentials };
    const plugin = await startPlugin(readConfig([...flags, ...places], env), log);
    return new SanityWorld(e2e, folder, plugin, hasDevices);
  }

  async stop(): Promise<void> {
    await this.plugin.close();
    await this.e2e.stop();
    this.folder.remove();
  }

  /** Why specs may be passed over here. */
  maySkip(): readonly SkippedSpecs[] {
    return this.hasDevices ? MAY_SKIP : [...MAY_SKIP, NO_DEVICES];
  }

  run(access: SanityAccess): Promise<SanityResult> {
    return runSanity({
      ...{ socketPath: join(this.folder.path, 'csi.sock'), access },
      folder: join(this.folder.path, access),
      // Without a device what can be tried is tried all the same.
      ...(this.hasDevices ? {} : { skip: NEEDS_DEVICE }),
      parameters: { replicas: '2', ...(this.hasDevices ? {} : { frontend: 'nbd' }) },
      mutableParameters: { rwIops: '5000' },
      sizeBytes: 8 * MIB,
    });
  }

  /** What is wrong with a run. */
  wrongWith({ passed, skipped, failed }: SanityResult): readonly string[] {
    const isFine = (spec: string): boolean => this.maySkip().some(({ specs }) => specs.test(spec));
    const least = this.hasDevices ? LEAST.withDevices : LEAST.without;
    return [
      ...failed,
      ...skipped.filter((spec) => !isFine(spec)).map((spec) => `skipped: ${spec}`),
      ...(passed.length < least ? [`only ${passed.length} specs ran`] : []),
    ];
  }

  /** Volumes that are on record, and mounts. */
  async leftovers(): Promise<readonly string[]> {
    const { volumes } = await this.e2e.client.request('volume.list', {});
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
    return [
      ...volumes.map(({ name }) => name),
      ...mounts.filter((mount) => mount.includes(this.folder.path)),
    ];
  }
}
