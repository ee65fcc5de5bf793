import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  type HostNamespace,
  NvmeTcpController,
  ReservationConflictError,
  type ReservationRecord,
  ReservationType,
} from '@lariat/nvme-tcp';
import { silentLog } from '../app/log.js';
import { MallocBdev } from '../bdev/malloc/malloc-bdev.js';
import { TargetBdevs } from '../bdev/registry.js';
import { nvmfMethods } from './nvmf-methods.js';
import { NvmfTarget } from './nvmf-target.js';
import { encodeReservations, ReservationFile } from './reservation-file.js';

const NQN = 'nqn.2026-01.io.lariat:vol';
const UUID = '6c1e7a40-8f5d-4f0c-9d7a-2f4c8a1b3e55';
const HOST_A = '0a'.repeat(16);
const HOST_B = '0b'.repeat(16);
const MAX_KEY = 0xffff_ffff_ffff_fffen;

let folder: string;
let file: string;
const cleanups: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lariat-reservations-'));
  file = join(folder, 'reservations.json');
  cleanups.push(() => rm(folder, { recursive: true }));
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

interface Exported {
  readonly address: { readonly traddr: string; readonly trsvcid: string };
  close(): Promise<void>;
}

/** A target process's worth of state: it forgets all but the file. */
async function exportDisk(namespace: object): Promise<Exported> {
  const registry = new TargetBdevs();
  registry.register(new MallocBdev('disk', 512, 1 << 20, UUID));
  const target = new NvmfTarget(registry, silentLog);
  const close = (): Promise<void> => target.close();
  cleanups.push(close);
  const methods = nvmfMethods(target);
  const call = async (name: string, params: object): Promise<unknown> => {
    const found = methods[name];
    if (found === undefined) throw new Error(`no method ${name}`);
    return found.run(found.decode(params as Record<string, unknown>));
  };
  await call('nvmf_create_transport', { trtype: 'TCP' });
  await call('nvmf_create_subsystem', { nqn: NQN, allow_any_host: true });
  await call('nvmf_subsystem_add_ns', {
    nqn: NQN,
    namespace: { bdev_name: 'disk', ...namespace },
  });
  await call('nvmf_subsystem_add_listener', {
    nqn: NQN,
    listen_address: { trtype: 'TCP', adrfam: 'IPv4', traddr: '127.0.0.1', trsvcid: '0' },
  });
  const [port] = target.require(NQN).subsystem.ports();
  if (port === undefined) throw new Error('there is no listener');
  return { address: port.address, close };
}

async function connect({ address }: Exported, name: string): Promise<HostNamespace> {
  const controller = await NvmeTcpController.connect({
    ...address,
    subnqn: NQN,
    hostnqn: `nqn.2026-01.io.lariat:${name}`,
  });
  cleanups.push(() => controller.close());
  const [namespace] = controller.namespaces();
  if (namespace === undefined) throw new Error('there is no namespace');
  return namespace;
}

const block = Buffer.alloc(512, 1);
const conflict = expect.any(ReservationConflictError);

describe('an exported namespace', () => {
  test('takes reservations, which keep other hosts out of the bdev', async () => {
    const exported = await exportDisk({});
    const a = await connect(exported, 'a');
    const b = await connect(exported, 'b');
    await a.reservations.register(1n);
    await a.reservations.acquire(1n, ReservationType.writeExclusive);
    await expect(b.write(0, block)).rejects.toEqual(conflict);
    await a.write(0, block);
    expect((await b.read(0, 512)).equals(block)).toBe(true);
    await b.reservations.register(2n);
    await b.reservations.preempt(2n, 1n, ReservationType.exclusiveAccess, { abort: true });
    await expect(a.read(0, 512)).rejects.toEqual(conflict);
    // There is nowhere to keep it.
    await expect(b.reservations.register(2n, { persistent: true })).rejects.toThrow(/invalidField/);
  });

  test('has its reservation again after a restart when it has a ptpl_file', async () => {
    const before = await exportDisk({ ptpl_file: file });
    const a = await connect(before, 'a');
    await a.reservations.register(MAX_KEY, { persistent: true });
    await a.reservations.acquire(MAX_KEY, ReservationType.writeExclusive);
    await before.close();
    const after = await exportDisk({ ptpl_file: file });
    const stranger = await connect(after, 'b');
    await expect(stranger.write(0, block)).rejects.toEqual(conflict);
    const again = await connect(after, 'a');
    await again.write(0, block);
    expect(await again.reservations.report()).toMatchObject({
      type: ReservationType.writeExclusive,
      persistent: true,
      registrants: [{ key: MAX_KEY, holdsReservation: true }],
    });
    await again.reservations.unregister(MAX_KEY, { persistent: false });
    await after.close();
    await (await connect(await exportDisk({ ptpl_file: file }), 'b')).write(0, block);
    expect(await readdir(folder)).toEqual(['reservations.json']);
  });

  test.each([
    ['of another bdev', encodeReservations(record(1, HOST_A), HOST_A)],
    ['cut short', encodeReservations(record(1, HOST_A), UUID).slice(0, 60)],
    ['of an unknown type', encodeReservations(record(7, HOST_A), UUID)],
    ['whose holder is not registered', encodeReservations(record(2, '0c'.repeat(16)), UUID)],
    [
      'with a key of 65 bits',
      encodeReservations(record(1, HOST_A), UUID).replace(
        /"rkey":\d+/,
        '"rkey":18446744073709551616',
      ),
    ],
    [
      'with a host that is no uuid',
      encodeReservations(record(1, HOST_A), UUID).replace('0a0a0a0a', 'xyz'),
    ],
    ['that is no object', '[]'],
  ])('is refused with a ptpl_file %s, which stays as it is', async (_what, text) => {
    await writeFile(file, text);
    await expect(exportDisk({ ptpl_file: file })).rejects.toMatchObject({
      code: -32602,
      message: 'Invalid parameters',
    });
    expect(await readFile(file, 'utf8')).toBe(text);
  });
});

function record(type: number, holder: string | undefined): ReservationRecord {
  return {
    version: 1,
    persistent: true,
    generation: 0,
    registrants: [
      { hostId: HOST_A, key: MAX_KEY.toString(16) },
      { hostId: HOST_B, key: '0000000000000002' },
    ],
    ...(type === 0 ? {} : { reservation: { type, ...(holder === undefined ? {} : { holder }) } }),
  };
}

describe('the ptpl_file', () => {
  test.each([
    ['no reservation', record(0, undefined)],
    ['a reservation', record(1, HOST_B)],
    ['a reservation of all', record(6, undefined)],
  ])('gives back what was saved: %s', async (_what, saved) => {
    const store = new ReservationFile(file, UUID);
    expect(await store.load()).toBeUndefined();
    await store.save(saved);
    expect(await store.load()).toEqual(saved);
  });

  test('is written as SPDK does', async () => {
    await new ReservationFile(file, UUID).save(record(2, HOST_A));
    expect(await readFile(file, 'utf8')).toBe(
      `{"ptpl":true,"rtype":2,"crkey":18446744073709551614,"bdev_uuid":"${UUID}",` +
        '"holder_uuid":"0a0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a","registrants":[' +
        '{"rkey":18446744073709551614,"host_uuid":"0a0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a"},' +
        '{"rkey":2,"host_uuid":"0b0b0b0b-0b0b-0b0b-0b0b-0b0b0b0b0b0b"}]}',
    );
  });

  test('holds nothing when it is empty, or persistence is off', async () => {
    const store = new ReservationFile(file, UUID);
    await writeFile(file, '');
    expect(await store.load()).toBeUndefined();
    await store.save({ version: 1, persistent: false, generation: 0, registrants: [] });
    expect(await store.load()).toBeUndefined();
  });

  test('rejects a save that cannot be made durable', async () => {
    const store = new ReservationFile(join(folder, 'missing', 'file'), UUID);
    await expect(store.save(record(0, undefined))).rejects.toThrow(/ENOENT/);
  });
});
