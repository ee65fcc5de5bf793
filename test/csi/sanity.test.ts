import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunningPlugin, readConfig, startPlugin } from '@lariat/csi-plugin';
import { MIB } from '@lariat/kernel';
import { createLog } from '@lariat/telemetry';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e } from '../e2e/e2e-cluster.js';
import { type SanityResult, runSanity, whyNoSanity } from './csi-sanity.js';

const missing = whyNoSanity();
/** Specs that pass over a capability which this plugin does not claim, or that are not written yet. */
const MAY_SKIP =
  /PUBLISH_READONLY|readonly|GroupController|group snapshot|pagination|attach limit/i;

describe.skipIf(missing !== undefined)(
  `csi-sanity${missing === undefined ? '' : `: ${missing}`}`,
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'lariat-csi-'));
    const socketPath = join(folder, 'csi.sock');
    let e2e: E2eCluster;
    let plugin: RunningPlugin;

    beforeAll(async () => {
      e2e = await startE2e({ nodes: 2 });
      const config = readConfig(
        ['--endpoint', socketPath, '--nats', e2e.cluster.natsUrl, '--mode', 'controller'],
        {},
      );
      plugin = await startPlugin(config, createLog('csi-plugin', 'warn'));
    });

    afterAll(async () => {
      await plugin?.close();
      await e2e?.stop();
      rmSync(folder, { recursive: true, force: true });
    });

    function expectPassed({ passed, skipped, failed }: SanityResult): void {
      expect(failed).toEqual([]);
      expect(skipped.filter((spec) => !MAY_SKIP.test(spec))).toEqual([]);
      expect(passed.length).toBeGreaterThan(40);
    }

    it('passes as identity and controller', async () => {
      const result = await runSanity({
        ...{ socketPath, folder: join(folder, 'controller'), access: 'mount' },
        ...{
          focus: 'Identity Service|Controller Service|ExpandVolume|ListSnapshots|Snapshot|Modify',
        },
        // Their volumes are published: to the nodes' own way of use, which the controller alone does not need.
        parameters: { replicas: '2', frontend: 'nbd' },
        mutableParameters: { rwIops: '5000' },
        sizeBytes: 8 * MIB,
      });
      expectPassed(result);
      expect(await e2e.records()).toEqual({});
    });
  },
);
