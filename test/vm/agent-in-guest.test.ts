import { readFile } from 'node:fs/promises';
import { MIB, toLariatError } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it, onTestFailed } from 'vitest';
import { type E2eCluster, startE2e, until } from '../e2e/e2e-cluster.js';
import { lineWriter } from '../e2e/line-writer.js';
import { RecordedFolder } from '../left-over/record.js';
import { makeDataDisk } from './data-disk.js';
import { Guest } from './guest/guest.js';
import type { RunningCommand } from './guest/guest-commands.js';
import { guestImage } from './guest/guest-image.js';
import { HostLink } from './guest/host-link.js';
import { GuestNode } from './guest-node.js';
import { NvmeConnection, connectionTo } from './nvme-connection.js';
import { whyNoGuest } from './shared-guest.js';

const missing = whyNoGuest() ?? HostLink.whyNot();
const SIZE_BYTES = 32 * MIB;
const PATTERN_MIB = 4;
const STALE = 5;
const SOON_MS = 300_000;
const LOOK_EVERY_MS = 1_000;
/** In a guest, with others at work on the machine. */
const LONG_MS = 1_200_000;
const NODE = 'g1';
/** Named as ours are, and of nobody that Lariat knows of. */
const STRANGER = 'vol-000000000000';
const MOUNT = '/mnt/busy';
const LINES = `${MOUNT}/lines`;

const WRITER = lineWriter(200);
/** A look is a process in the guest, whose one processor the node needs. */
const waitFor = <T>(what: string, look: () => Promise<T | undefined>): Promise<T> =>
  until(what, SOON_MS, look, LOOK_EVERY_MS);

describe.skipIf(missing !== undefined)(
  `a node of a cluster on a real kernel (${missing ?? 'everything is here'})`,
  () => {
    let e2e: E2eCluster;
    let link: HostLink;
    let folder: RecordedFolder;
    let guest: Guest;
    let node: GuestNode;
    let writer: RunningCommand;
    /** Attached all the time: one is mounted and written to, the other holds a pattern and nobody uses it. */
    let busy: string;
    let idle: string;
    let pattern: string;

    beforeAll(async () => {
      const image = await guestImage();
      if (typeof image === 'string') throw new Error(image);
      folder = RecordedFolder.make('lariat-vm-node-');
      link = await HostLink.make();
      const disk = await makeDataDisk(folder.path, 512);
      const { hostAddress: address } = link;
      e2e = await startE2e({ nodes: 2, diskSizeBytes: 512 * MIB, address });
      guest = await Guest.boot(image, { disks: [disk], link });
      node = await GuestNode.join(e2e.cluster, guest, { name: NODE, link, diskMib: 256 });
      await node.start();
      await ready();
      idle = await create('idle', 3);
      // What is written meanwhile is on the other nodes: a leg of this one would have to be rebuilt after each crash.
      busy = await createElsewhere('busy', 2);
      await createElsewhere('other', 1);
      await makeNewFileSystem(await attach('busy'), MOUNT);
      writer = await startWriter();
      const device = await attach('idle');
      const copy = ['if=/dev/urandom', `of=${device}`, 'bs=1M', `count=${PATTERN_MIB}`];
      await exec('/usr/bin/dd', ...copy, 'conv=fsync', 'oflag=direct');
      pattern = await readPattern();
      await makeStrangers();
    }, LONG_MS);
    afterAll(async () => {
      await guest?.stop();
      await e2e?.stop();
      await link?.remove();
      folder?.remove();
    }, LONG_MS);

    const exec = (...argv: [string, ...string[]]): Promise<string> => guest.commands.run(argv);
    const sh = (script: string): Promise<string> => exec('/bin/bash', '-c', script);
    const lines = (text: string): readonly string[] =>
      text.split('\n').filter((line) => line !== '');
    const devicePath = (volume: string): string => `/dev/lariat/${volume}`;

    async function create(name: string, replicas: number): Promise<string> {
      const volume = { name, sizeBytes: SIZE_BYTES, replicas };
      return (await e2e.client.request('volume.create', volume, { timeoutMs: SOON_MS })).id;
    }
    async function createElsewhere(name: string, replicas: number): Promise<string> {
      await e2e.client.request('node.cordon', { node: NODE });
      const id = await create(name, replicas);
      await e2e.client.request('node.uncordon', { node: NODE });
      return id;
    }
    async function attach(volume: string): Promise<string> {
      const body = { volume, node: NODE, frontend: 'kernel' } as const;
      const options = { timeoutMs: SOON_MS };
      return waitFor(`${volume} to be attached`, async () => {
        try {
          const { attachment } = await e2e.client.request('volume.attach', body, options);
          return attachment?.endpoint ?? '';
        } catch (error) {
          // A guest that was too slow for a deadline is a reason to ask again, as for any caller.
          const { kind, message } = toLariatError(error);
          if (kind !== 'timeout') throw error;
          process.stderr.write(`${volume} is not attached yet: ${message}\n`);
          return undefined;
        }
      });
    }
    const detach = (volume: string) =>
      e2e.client.request('volume.detach', { volume }, { timeoutMs: SOON_MS });
    const remove = (volume: string) =>
      e2e.client.request('volume.delete', { volume }, { timeoutMs: SOON_MS });
    const nodeState = async (): Promise<string> =>
      (await e2e.client.request('node.get', { node: NODE })).state;
    const isNow = (state: string): Promise<true> =>
      waitFor(`${NODE} to be ${state}`, async () =>
        (await nodeState()) === state ? true : undefined,
      );
    const ready = (): Promise<true> => isNow('ready');

    async function makeNewFileSystem(device: string, at: string): Promise<void> {
      await exec('/usr/sbin/mkfs.ext4', '-q', device);
      await exec('/usr/bin/mkdir', '-p', at);
      await exec('/usr/bin/mount', device, at);
    }
    const startWriter = (file = LINES): Promise<RunningCommand> =>
      guest.commands.start([process.execPath, '-e', WRITER, file], { timeoutMs: LONG_MS });
    const sizeOf = async (file: string): Promise<number> =>
      Number(await sh(`stat -c %s ${file} 2>/dev/null || echo 0`));
    async function writerGoesOn(): Promise<void> {
      const before = await sizeOf(LINES);
      await waitFor('the writer to go on', async () =>
        (await sizeOf(LINES)) > before ? true : undefined,
      );
      expect(writer.hasEnded()).toBe(false);
    }
    /** Past the page cache. */
    const readPattern = (): Promise<string> => {
      const read = `dd if=${devicePath(idle)} bs=1M count=${PATTERN_MIB} iflag=direct status=none`;
      const script = `${read} | sha256sum`;
      return guest.commands.run(['/bin/bash', '-c', script], { timeoutMs: SOON_MS });
    };

    /** Uuid and numbers of each device of the kind, whoever has made it. */
    const mapped = async (): Promise<readonly string[]> =>
      lines(await sh('dmsetup info -c --noheadings -o uuid,name,major,minor')).filter((line) =>
        line.includes(':'),
      );
    const mappedOf = async (volume: string): Promise<readonly string[]> =>
      (await mapped()).filter((line) => line.includes(volume));
    const connectionsOf = async (volume: string): Promise<readonly string[]> =>
      lines(await sh(`grep -l '${volume}' /sys/class/nvme/*/subsysnqn || true`));
    /** Of the folder, which is made with the first. */
    const nodes = async (): Promise<readonly string[]> =>
      lines((await guest.commands.exec(['/bin/ls', '/dev/lariat'])).stdout);

    let strange: { readonly mapped: readonly string[]; readonly connection: NvmeConnection };
    /** A device with a name like ours, one with a uuid like ours, a node in our folder, and another host's connection. */
    async function makeStrangers(): Promise<void> {
      const make = (name: string, uuid: string) =>
        exec('/usr/sbin/dmsetup', 'create', name, '--uuid', uuid, '--table', '0 2048 zero');
      await make(`lariat-${STRANGER}.1.1`, 'SOMEBODY-1');
      await make('somebody', `LARIAT-${STRANGER}-1.1`);
      await exec('/bin/ln', '-s', '/dev/null', devicePath(STRANGER));
      const body = { volume: 'other', node: 'n1', frontend: 'nvmf' } as const;
      const { attachment } = await e2e.client.request('volume.attach', body);
      const { address: traddr, ...to } = connectionTo(attachment);
      const connection = await NvmeConnection.open(guest.commands, { traddr, ...to });
      strange = { mapped: await mappedOf(STRANGER), connection };
      expect(strange.mapped).toHaveLength(2);
    }
    async function expectStrangersUntouched(): Promise<void> {
      expect(await mappedOf(STRANGER)).toEqual(strange.mapped);
      expect(await exec('/usr/bin/readlink', devicePath(STRANGER))).toBe('/dev/null\n');
      expect(await strange.connection.state()).toBe('live');
    }
    const tellLog = (): void =>
      onTestFailed(async () => {
        const ofServices = await readFile(e2e.cluster.paths.log('services'), 'utf8');
        process.stderr.write(`the services said:\n${ofServices.slice(-10_000)}\n`);
        process.stderr.write(`the agent of ${NODE} said:\n${(await node.log()).slice(-20_000)}\n`);
      });
    const idleIsBack = (): Promise<true> =>
      waitFor('the idle volume to be there again', async () =>
        (await nodes()).includes(idle) && (await readPattern()) === pattern ? true : undefined,
      );

    it.each([
      { what: 'its target is', parts: ['target'] },
      { what: 'its agent is', parts: ['agent'] },
      { what: 'agent and target are both', parts: ['agent', 'target'] },
    ] as const)(
      'goes on with the same devices when $what killed, and writers see a stall',
      async ({ parts }) => {
        tellLog();
        const before = await mapped();
        expect(await mappedOf(busy)).toHaveLength(1);
        expect(await mappedOf(idle)).toHaveLength(1);
        await node.kill(...parts);
        if ((parts as readonly string[]).includes('agent')) await node.start();
        await writerGoesOn();
        await ready();
        expect(await readPattern()).toBe(pattern);
        expect(await mapped()).toEqual(before);
        await expectStrangersUntouched();
      },
      LONG_MS,
    );

    it(
      'takes away what nobody uses when it is stopped, leaves what is in use, and has both again after its start',
      async () => {
        tellLog();
        const before = await mappedOf(busy);
        await node.stop();
        expect(await mappedOf(idle)).toEqual([]);
        expect(await connectionsOf(idle)).toEqual([]);
        expect(await nodes()).toEqual([STRANGER, busy].toSorted());
        expect(await mappedOf(busy)).toEqual(before);
        await expectStrangersUntouched();
        await node.start();
        await writerGoesOn();
        await idleIsBack();
        expect(await mappedOf(busy)).toEqual(before);
        expect(await mappedOf(idle)).toHaveLength(1);
        await expectStrangersUntouched();
      },
      LONG_MS,
    );

    it(
      'is ready whatever is stale: what no one wants goes, and what is in use goes with its last user',
      async () => {
        tellLog();
        const before = [...(await mappedOf(busy)), ...(await mappedOf(idle))];
        const names = Array.from({ length: STALE }, (_, index) => `stale-${index}`);
        const stale: string[] = [];
        const paths: string[] = [];
        for (const name of names) {
          // Elsewhere, so that all of them can be deleted while this node is away.
          stale.push(await createElsewhere(name, 1));
          paths.push(await attach(name));
        }
        const [device = ''] = paths;
        const [stuck = ''] = stale;
        await makeNewFileSystem(device, '/mnt/stale');
        const stalled = await startWriter('/mnt/stale/lines');
        await waitFor('the other writer to begin', async () =>
          (await sizeOf('/mnt/stale/lines')) > 0 ? true : undefined,
        );
        await node.kill('agent', 'target');
        await isNow('down');
        await Promise.all(names.map(detach));
        await Promise.all(names.map(remove));
        await node.start();
        await ready();
        // It is not waited for: its device is there for as long as it is mounted.
        expect(await mappedOf(stuck)).toHaveLength(1);
        await writerGoesOn();
        await waitFor('what no one wants to go', async () => {
          const left = await Promise.all(stale.slice(1).map(mappedOf));
          const connected = await Promise.all(stale.map(connectionsOf));
          const here = await nodes();
          const isGone = [...left, ...connected].every((list) => list.length === 0);
          return isGone && !stale.some((volume) => here.includes(volume)) ? true : undefined;
        });
        expect((await stalled.done).exitCode).not.toBe(0);
        const [name = ''] = (await mappedOf(stuck)).map((line) => line.split(':')[1] ?? '');
        await waitFor('its I/O to end with errors for good', async () =>
          (await exec('/usr/sbin/dmsetup', 'table', name)).includes('error') ? true : undefined,
        );
        await exec('/usr/bin/umount', '/mnt/stale');
        await waitFor('the last of them to go', async () =>
          (await mappedOf(stuck)).length === 0 ? true : undefined,
        );
        expect(await readPattern()).toBe(pattern);
        expect([...(await mappedOf(busy)), ...(await mappedOf(idle))]).toEqual(before);
        await expectStrangersUntouched();
      },
      LONG_MS,
    );

    it(
      'has its volumes again after a reset of the machine, with all that was acknowledged',
      async () => {
        tellLog();
        // The last line may not have been acknowledged yet.
        const kept = lines(await exec('/bin/cat', LINES)).slice(0, -1);
        await guest.reset();
        await node.mountData();
        await node.start();
        await ready();
        await idleIsBack();
        await waitFor('the busy volume to be there again', async () =>
          (await nodes()).includes(busy) ? true : undefined,
        );
        await exec('/usr/bin/mkdir', '-p', MOUNT);
        await exec('/usr/bin/mount', devicePath(busy), MOUNT);
        const found = lines(await exec('/bin/cat', LINES));
        expect(found.slice(0, kept.length)).toEqual(kept);
        expect(found).toEqual(found.map((_, index) => `line ${index}`));
        await exec('/usr/bin/umount', MOUNT);
      },
      LONG_MS,
    );

    it(
      'has nothing left when its volumes are gone',
      async () => {
        tellLog();
        for (const volume of ['busy', 'idle', 'other']) {
          await detach(volume);
          await remove(volume);
        }
        expect(await mapped()).toEqual([]);
        expect(lines(await sh('ls /sys/class/nvme'))).toEqual([]);
        expect(await nodes()).toEqual([]);
        expect(await e2e.leftovers(SOON_MS)).toEqual([]);
        const { disks } = await e2e.client.request('disk.list', { node: NODE });
        expect(disks).toMatchObject([{ replicas: 0, scheduledBytes: 0 }]);
      },
      LONG_MS,
    );
  },
);
