import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunningPlugin, readConfig, startPlugin } from '@lariat/csi-plugin';
import { MIB } from '@lariat/kernel';
import { createLog } from '@lariat/telemetry';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e } from '../e2e/e2e-cluster.js';
import { type SanityResult, runSanity, whyNoSanity } from './csi-sanity.js';
import { offersDevices } from '../e2e/offers-devices.js';

const missing = whyNoSanity();

/** Why a spec is passed over; one that is not here must run. */
const MAY_SKIP: readonly (readonly [RegExp, string])[] = [
  [/readonly|incompatible|PUBLISH_READONLY/i, 'PUBLISH_READONLY is not claimed'],
  [
    /VolumeHealth|StorageHealth|with accessibility requirements: SNAPSHOT_ACCESSIBILITY/,
    'a call of a later version of the interface than 1.12',
  ],
  [/pagination should detect volumes added/, 'csi-test has it pending'],
  [
    /attach limit|max volumes/i,
    'asked for by a flag of csi-sanity, which attaches as many volumes',
  ],
];

/** Specs that use a device on the node. */
const NEEDS_DEVICE =
  'Node Service should|NodeExpandVolume|NodePublish|NodeUnpublish|volume lifecycle';

describe.skipIf(missing !== undefined)(
  `csi-sanity${missing === undefined ? '' : `: ${missing}`}`,
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'lariat-csi-'));
    const socketPath = join(folder, 'csi.sock');
    let e2e: E2eCluster;
    let plugin: RunningPlugin;
    let hasDevices = false;

    beforeAll(async () => {
      e2e = await startE2e({ nodes: 2 });
      const [agent] = e2e.cluster.processes().filter(({ kind }) => kind === 'agent');
      const node = agent?.name ?? '';
      hasDevices = offersDevices(await e2e.client.request('node.get', { node }));
      const flags = ['--endpoint', socketPath, '--nats', e2e.cluster.natsUrl, '--node', node];
      const config = readConfig([...flags, '--data', join(folder, 'data')], {});
      plugin = await startPlugin(config, createLog('csi-plugin', 'error'));
    });

    afterAll(async () => {
      await plugin?.close();
      await e2e?.stop();
      rmSync(folder, { recursive: true, force: true });
    });

    const sanity = (access: 'mount' | 'block'): Promise<SanityResult> =>
      runSanity({
        ...{ socketPath, folder: join(folder, access), access },
        // Without a device what can be tried is tried all the same.
        ...(hasDevices ? {} : { skip: NEEDS_DEVICE }),
        parameters: { replicas: '2', ...(hasDevices ? {} : { frontend: 'nbd' }) },
        mutableParameters: { rwIops: '5000' },
        sizeBytes: 8 * MIB,
      });

    /** What is wrong with a run. */
    function wrongWith({ passed, skipped, failed }: SanityResult): readonly string[] {
      const isFine = (spec: string): boolean =>
        MAY_SKIP.some(([pattern]) => pattern.test(spec)) ||
        (!hasDevices && new RegExp(NEEDS_DEVICE).test(spec));
      const least = hasDevices ? 70 : 50;
      return [
        ...failed,
        ...skipped.filter((spec) => !isFine(spec)).map((spec) => `skipped: ${spec}`),
        ...(passed.length < least ? [`only ${passed.length} specs ran`] : []),
      ];
    }

    /** Volumes that are on record, and mounts. */
    async function leftovers(): Promise<readonly string[]> {
      const { volumes } = await e2e.client.request('volume.list', {});
      const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
      return [
        ...volumes.map(({ name }) => name),
        ...mounts.filter((mount) => mount.includes(folder)),
      ];
    }

    it.each(['mount', 'block'] as const)('passes, with %s volumes', async (access) => {
      expect(wrongWith(await sanity(access))).toEqual([]);
      expect(await leftovers()).toEqual([]);
    });
  },
);
