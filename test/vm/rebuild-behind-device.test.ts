import { readFile } from 'node:fs/promises';
import { MIB, toLariatError } from '@lariat/kernel';
import { FAULT_SUBJECT_PREFIX } from '@lariat/testing';
import { afterAll, beforeAll, describe, expect, it, onTestFailed } from 'vitest';
import { type E2eCluster, startE2e, until } from '../e2e/e2e-cluster.js';
import { RecordedFolder } from '../left-over/record.js';
import { writeStockTarget } from '../stock-target.js';
import { makeDataDisk } from './data-disk.js';
import { Guest } from './guest/guest.js';
import { guestImage } from './guest/guest-image.js';
import { HostLink } from './guest/host-link.js';
import { GuestNode } from './guest-node.js';
import { whyNoGuest } from './shared-guest.js';
import { VERIFIED, VerifiedLoad } from './verified-load.js';

const missing = whyNoGuest() ?? HostLink.whyNot();
const SIZE_BYTES = 8 * MIB;
const NODE = 'g1';
const SOON_MS = 300_000;
const LOOK_EVERY_MS = 1_000;
const LONG_MS = 1_200_000;
/** Agent and target of the guest have one emulated processor. */
const STALL_MS = 60_000;

describe.skipIf(missing !== undefined)(
  `a volume on a target with the methods of stock SPDK, used through the kernel (${missing ?? 'everything is here'})`,
  () => {
    let e2e: E2eCluster;
    let link: HostLink;
    let folder: RecordedFolder;
    let guest: Guest;
    let node: GuestNode;
    let load: VerifiedLoad;
    let volume: string;
    let device: string;

    beforeAll(async () => {
      const image = await guestImage();
      if (typeof image === 'string') throw new Error(image);
      folder = RecordedFolder.make('lariat-vm-gate-');
      link = await HostLink.make();
      const disk = await makeDataDisk(folder.path, 256);
      e2e = await startE2e({
        ...{ nodes: 2, diskSizeBytes: 256 * MIB, address: link.hostAddress },
        env: {
          ...{ ...process.env, LARIAT_REBUILD: 'manual' },
          LARIAT_REBUILD_STALL_MS: String(STALL_MS),
          // NATS lets the agents of such a cluster hear of faults.
          LARIAT_FAULTS: '1',
        },
      });
      guest = await Guest.boot(image, { disks: [disk], link });
      node = await GuestNode.join(e2e.cluster, guest, {
        ...{ name: NODE, link, diskMib: 64 },
        ...{ spdkBin: writeStockTarget(folder.path), hasFaults: true },
      });
      await node.start();
      await isReady(NODE);
      // Its engine is in the guest, and its legs are not: they would be as slow.
      await e2e.client.request('node.cordon', { node: NODE });
      const body = { name: 'busy', sizeBytes: SIZE_BYTES, replicas: 2 };
      volume = (await ask('volume.create', body)).id;
      await e2e.client.request('node.uncordon', { node: NODE });
      await ask('volume.attach', { volume, node: NODE, frontend: 'kernel' });
      device = (await guest.commands.run(['/usr/bin/readlink', `/dev/lariat/${volume}`])).trim();
      load = await VerifiedLoad.start(guest.commands, `/dev/lariat/${volume}`, 2, {
        ...{ timeoutMs: 3 * LONG_MS, writesPerSecond: 10 },
      });
    }, LONG_MS);
    afterAll(async () => {
      await guest?.stop();
      await e2e?.stop();
      await link?.remove();
      folder?.remove();
    }, LONG_MS);

    const ask: E2eCluster['client']['request'] = (name, body) =>
      e2e.client.request(name, body, { timeoutMs: SOON_MS });
    const waitFor = <T>(what: string, look: () => Promise<T | undefined>): Promise<T> =>
      until(what, SOON_MS, look, LOOK_EVERY_MS);
    const isReady = (name: string): Promise<true> =>
      waitFor(`${name} to be ready`, async () =>
        (await e2e.client.request('node.get', { node: name })).state === 'ready' ? true : undefined,
      );
    const robustness = async (): Promise<string> =>
      (await e2e.client.request('volume.get', { volume })).robustness;

    async function loseLeg(): Promise<void> {
      await e2e.cluster.killNode('n2');
      await waitFor('the loss of a leg to be on record', async () =>
        (await robustness()) === 'degraded' ? true : undefined,
      );
      await e2e.cluster.startNode('n2');
      await isReady('n2');
    }
    /** A rebuild that a crash has cut off is undone, and asked for again, as anybody would. */
    const rebuild = (): Promise<true> =>
      waitFor('the volume to be whole again', async () => {
        try {
          await ask('replica.rebuild', { volume });
        } catch (error) {
          process.stderr.write(`not rebuilt yet: ${toLariatError(error).message}\n`);
        }
        return (await robustness()) === 'healthy' ? true : undefined;
      });
    const arm = (point: string) =>
      e2e.connection.request(
        `${FAULT_SUBJECT_PREFIX}.node-agent-${NODE}.arm`,
        JSON.stringify({ point, action: 'kill' }),
      );

    const mapped = (): Promise<string> =>
      guest.commands.run([
        ...(['/usr/sbin/dmsetup', 'info', '-c', '--noheadings'] as const),
        ...['-o', 'uuid,name,major,minor,suspended'],
      ]);
    const written = {
      device: 'the device of the volume',
      sectorsWritten: async () =>
        Number(
          (
            await guest.commands.run([
              '/bin/cat',
              `/sys/block/${device.slice('/dev/'.length)}/stat`,
            ])
          )
            .trim()
            .split(/\s+/)[6],
        ),
    };
    const tellLog = (): void =>
      onTestFailed(async () => {
        const ofServices = await readFile(e2e.cluster.paths.log('services'), 'utf8');
        process.stderr.write(`the services said:\n${ofServices.slice(-10_000)}\n`);
        process.stderr.write(`the agent of ${NODE} said:\n${(await node.log()).slice(-20_000)}\n`);
      });

    it(
      'tells that its devices alone can hold writes, and refuses what would need another way',
      async () => {
        tellLog();
        expect(await e2e.client.request('node.get', { node: NODE })).toMatchObject({
          target: expect.stringContaining('SPDK v26.05 methods alone'),
          writeGate: 'device',
        });
      },
      LONG_MS,
    );

    it(
      'is rebuilt while it is written to, behind its device, which stays the same',
      async () => {
        tellLog();
        await loseLeg();
        const before = await mapped();
        await rebuild();
        await load.expectWrites(written);
        expect(await mapped()).toBe(before);
        expect(await node.log()).toContain('hold I/O of LARIAT-');
      },
      LONG_MS,
    );

    it.each([
      { what: 'before the raid is made anew', point: 'agent/engine.add-leg/intent-journaled' },
      { what: 'after the raid was made anew', point: 'agent/engine.add-leg/effect-done' },
    ])(
      'goes on, and is rebuilt, when its agent is killed behind the gate, $what',
      async ({ point }) => {
        tellLog();
        await loseLeg();
        const before = await mapped();
        await arm(point);
        await ask('replica.rebuild', { volume, wait: false });
        await waitFor('the agent to be killed', async () =>
          (await node.pidOf('agent')) === undefined ? true : undefined,
        );
        expect(await mapped()).toContain('Suspended');
        await node.start();
        await load.expectWrites(written);
        await isReady(NODE);
        await rebuild();
        await load.expectWrites(written);
        expect(await mapped()).toBe(before);
      },
      LONG_MS,
    );

    it(
      'has all that was written, on all replicas, and leaves nothing',
      async () => {
        tellLog();
        expect(load.hasEnded()).toBe(false);
        expect(await load.stop()).toBe(VERIFIED);
        await ask('volume.detach', { volume });
        const { replicas } = await ask('replica.checksum', { volume });
        expect(replicas).toHaveLength(2);
        expect(new Set(replicas.map(({ sha256 }) => sha256)).size).toBe(1);
        await ask('volume.delete', { volume });
        expect((await mapped()).trim()).toBe('No devices found');
        expect(await e2e.leftovers(SOON_MS)).toEqual([]);
      },
      LONG_MS,
    );
  },
);
