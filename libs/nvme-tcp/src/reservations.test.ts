import { afterEach, describe, expect, it } from 'vitest';
import { ReservationConflictError } from './block-device.js';
import { execute } from './host/admin-queue.js';
import type { NvmeTcpController } from './host/controller.js';
import { MemoryBlockDevice } from './memory-block-device.js';
import { makeCommand } from './nvme/entry.js';
import { Feature } from './nvme/features.js';
import { LogPage } from './nvme/log-page.js';
import { IoOpcode } from './nvme/opcodes.js';
import { readReservationNotification, readReservationReport } from './nvme/reservation-wire.js';
import { Status } from './nvme/status.js';
import { ReservationNotice } from './reservation/next.js';
import type { ReservationRecord, ReservationStore } from './reservation/record.js';
import { ReservationType } from './reservation/state.js';
import { NvmeTcpTarget } from './target/target.js';
import { connectRaw, statusOf } from './test-raw-queue.js';
import {
  Cleanup,
  connectHost,
  eventually,
  GatedDevice,
  nextEvent,
  onlyNamespace,
  Relay,
  startTarget,
  SUBSYSTEM_NQN,
} from './test-support.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const conflict = expect.any(ReservationConflictError);
const block = Buffer.alloc(512, 7);

function host(
  address: { readonly traddr: string; readonly trsvcid: string },
  name: string,
  options: Parameters<typeof connectHost>[2] = {},
): Promise<NvmeTcpController> {
  return connectHost(cleanup, address, { hostnqn: `nqn.2024-01.io.lariat:${name}`, ...options });
}

/** Keeps the record as JSON, as a file would. */
class MemoryStore implements ReservationStore {
  saves = 0;
  failing = false;
  private text: string | undefined;

  async load(): Promise<ReservationRecord | undefined> {
    if (this.failing) throw new Error('the store is out of order');
    return this.text === undefined ? undefined : (JSON.parse(this.text) as ReservationRecord);
  }

  async save(record: ReservationRecord): Promise<void> {
    if (this.failing) throw new Error('the store is out of order');
    this.saves += 1;
    this.text = JSON.stringify(record);
  }
}

describe('a reservation', () => {
  it('keeps other hosts out, over every controller of the subsystem', async () => {
    const { address } = await startTarget(cleanup);
    const first = onlyNamespace(await host(address, 'a'));
    const second = onlyNamespace(await host(address, 'b', { ioQueueCount: 2 }));
    const sameHost = onlyNamespace(await host(address, 'a'));
    await first.reservations.register(1n);
    await first.reservations.acquire(1n, ReservationType.writeExclusive);
    await sameHost.write(0, block);
    expect(await second.compare(0, block)).toBe(true);
    await expect(second.write(0, block)).rejects.toEqual(conflict);
    await expect(second.writeZeroes(0, 512)).rejects.toEqual(conflict);
    await expect(second.unmap(0, 512)).rejects.toEqual(conflict);
    await expect(second.flush()).rejects.toEqual(conflict);
    await second.reservations.register(2n);
    await expect(second.reservations.acquire(2n, 1)).rejects.toEqual(conflict);
    await second.reservations.preempt(2n, 1n, ReservationType.exclusiveAccess);
    await expect(first.read(0, 512)).rejects.toEqual(conflict);
    await expect(sameHost.read(0, 512)).rejects.toEqual(conflict);
    expect((await second.read(0, 512)).equals(block)).toBe(true);
    await second.reservations.release(2n, ReservationType.exclusiveAccess);
    await first.write(0, block);
  });

  it('is reported with every controller of every registrant', async () => {
    const { address, subsystem } = await startTarget(cleanup);
    const one = await host(address, 'a');
    const two = await host(address, 'a');
    const other = await host(address, 'b');
    const { reservations } = onlyNamespace(one);
    expect(await reservations.report()).toEqual({
      generation: 0,
      type: 0,
      persistent: false,
      registrants: [],
      registrantCount: 0,
    });
    await reservations.register(0xffff_ffff_ffff_fffen);
    await onlyNamespace(other).reservations.register(5n);
    await onlyNamespace(two).reservations.acquire(0xffff_ffff_ffff_fffen, 3);
    const hostIds = new Map(subsystem.controllers().map((each) => [each.cntlid, each.hostId]));
    const report = await onlyNamespace(other).reservations.report();
    expect([report.generation, report.type, report.registrantCount]).toEqual([2, 3, 3]);
    expect(report.registrants.toSorted((a, b) => a.cntlid - b.cntlid)).toEqual(
      [
        { cntlid: one.controllerId, key: 0xffff_ffff_ffff_fffen, holdsReservation: true },
        { cntlid: two.controllerId, key: 0xffff_ffff_ffff_fffen, holdsReservation: true },
        { cntlid: other.controllerId, key: 5n, holdsReservation: false },
      ]
        .map((each) => ({ ...each, hostId: hostIds.get(each.cntlid) }))
        .toSorted((a, b) => a.cntlid - b.cntlid),
    );
    await other.close();
    await eventually('the disconnect', () => subsystem.controllers().length === 2);
    const after = await reservations.report();
    expect(after.registrants.filter(({ key }) => key === 5n).map(({ cntlid }) => cntlid)).toEqual([
      0xffff,
    ]);
  });

  it('report is as long as the registrants need', async () => {
    const { address } = await startTarget(cleanup);
    const hosts = await Promise.all(
      Array.from({ length: 40 }, (_, index) => host(address, `host-${index}`)),
    );
    await Promise.all(
      hosts.map((each, index) => onlyNamespace(each).reservations.register(BigInt(index + 1))),
    );
    const [first] = hosts;
    const report = first && (await onlyNamespace(first).reservations.report());
    expect(report?.registrants.map(({ key }) => Number(key)).toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 40 }, (_, index) => index + 1),
    );
  });

  it('is not for a host without an identifier, which it keeps out nevertheless', async () => {
    const { address } = await startTarget(cleanup);
    const admin = await connectRaw(cleanup, address, { hostId: Buffer.alloc(16) });
    await admin.enable(1000);
    expect((await admin.identify(1, 0)).readUInt32LE(96) & (1 << 18)).not.toBe(0);
    const { queue } = await connectRaw(cleanup, address, {
      queueId: 1,
      controllerId: admin.id,
      hostId: Buffer.alloc(16),
    });
    const keys = Buffer.alloc(16, 1);
    for (const [opcode, dword10] of [
      [IoOpcode.reservationRegister, 0],
      [IoOpcode.reservationAcquire, 0x100],
      [IoOpcode.reservationRelease, 0x100],
    ] as const) {
      const work = execute(queue, 'reservation', makeCommand(opcode, 1, [dword10]), keys);
      expect((await statusOf(work)).code).toBe(Status.hostIdNotInitialized);
    }
    const report = makeCommand(IoOpcode.reservationReport, 1, [15, 1]);
    const into = Buffer.alloc(64);
    expect((await statusOf(execute(queue, 'report', report, undefined, into))).code).toBe(
      Status.hostIdNotInitialized,
    );
    const { reservations } = onlyNamespace(await host(address, 'a'));
    await reservations.register(1n);
    await reservations.acquire(1n, ReservationType.exclusiveAccess);
    const write = execute(queue, 'Write', makeCommand(IoOpcode.write, 1, [0, 0, 0]), block);
    expect((await statusOf(write)).code).toBe(Status.reservationConflict);
  });

  it('is refused in malformed commands, each with its status', async () => {
    const { address } = await startTarget(cleanup);
    const admin = await connectRaw(cleanup, address);
    await admin.enable(1000);
    const { queue } = await connectRaw(cleanup, address, { queueId: 1, controllerId: admin.id });
    const run = (
      opcode: number,
      dwords: readonly number[],
      data?: Buffer,
      into?: Buffer,
    ): Promise<unknown> =>
      execute(queue, 'reservation', makeCommand(opcode, 1, dwords), data, into);
    const code = async (work: Promise<unknown>): Promise<number> => (await statusOf(work)).code;
    const keys = Buffer.alloc(16, 1);
    expect(await code(run(IoOpcode.reservationRegister, [3], keys))).toBe(Status.invalidField);
    expect(await code(run(IoOpcode.reservationRegister, [0], Buffer.alloc(8)))).toBe(
      Status.dataSglLengthInvalid,
    );
    // CPTPL 01b is reserved; 11b needs a store.
    expect(await code(run(IoOpcode.reservationRegister, [1 << 30], keys))).toBe(
      Status.invalidField,
    );
    expect(await code(run(IoOpcode.reservationRegister, [3 << 30], keys))).toBe(
      Status.invalidField,
    );
    await run(IoOpcode.reservationRegister, [2 << 30], keys);
    expect(await code(run(IoOpcode.reservationAcquire, [0x103], keys))).toBe(Status.invalidField);
    expect(await code(run(IoOpcode.reservationAcquire, [0x108], keys))).toBe(Status.invalidField);
    expect(await code(run(IoOpcode.reservationAcquire, [0x700], keys))).toBe(Status.invalidField);
    expect(await code(run(IoOpcode.reservationRelease, [0x102], keys))).toBe(Status.invalidField);
    const into = Buffer.alloc(128);
    expect(await code(run(IoOpcode.reservationReport, [31, 0], undefined, into))).toBe(
      Status.hostIdInconsistentFormat,
    );
    expect(await code(run(IoOpcode.reservationReport, [32, 1], undefined, into))).toBe(
      Status.dataSglLengthInvalid,
    );
    await run(IoOpcode.reservationReport, [31, 1], undefined, into);
    expect(readReservationReport(into).registrants).toEqual([
      {
        cntlid: admin.id,
        holdsReservation: false,
        key: 0x0101_0101_0101_0101n,
        hostId: '01'.repeat(16),
      },
    ]);
    // A short buffer takes what fits.
    const head = Buffer.alloc(8);
    await run(IoOpcode.reservationReport, [1, 1], undefined, head);
    expect(head.toString('hex')).toBe('0100000000010000');
  });
});

describe('preempt and abort', () => {
  it('completes when no command of the preempted host runs', async () => {
    const device = new GatedDevice({ sizeBytes: 1 << 20 });
    const { address, subsystem } = await startTarget(cleanup, { device });
    const victim = onlyNamespace(await host(address, 'victim'));
    const successor = onlyNamespace(await host(address, 'successor'));
    await victim.reservations.register(1n);
    await successor.reservations.register(2n);
    await victim.reservations.acquire(1n, ReservationType.writeExclusive);
    device.hold();
    const write = victim.write(0, block);
    await eventually('the write at the device', () => device.begun === 1);
    let done = false;
    const preempt = successor.reservations
      .preempt(2n, 1n, ReservationType.writeExclusive, { abort: true })
      .then(() => {
        done = true;
      });
    await eventually(
      'the preemption',
      () => subsystem.namespace(1)?.reservations.state.registrants.length === 1,
    );
    // The victim is out at once, although its old write still runs.
    await expect(victim.write(512, block)).rejects.toEqual(conflict);
    expect(done).toBe(false);
    expect((await successor.read(512, 512)).every((byte) => byte === 0)).toBe(true);
    device.release();
    await preempt;
    await write;
    expect([device.begun, device.ended]).toEqual([1, 1]);
  });

  it('ends commands whose data is still on its way', async () => {
    const device = new GatedDevice({ sizeBytes: 8 << 20 });
    const { address } = await startTarget(cleanup, { device });
    const relay = new Relay(() => address);
    const victim = onlyNamespace(await host(await relay.start(cleanup), 'victim'));
    const successor = onlyNamespace(await host(address, 'successor'));
    await victim.reservations.register(1n);
    await successor.reservations.register(2n);
    const kept: Buffer[] = [];
    let holding = true;
    let forward: ((chunk: Buffer) => void) | undefined;
    relay.toTarget = (chunk, onward) => {
      if (!holding || (kept.length === 0 && chunk.length < 1000)) return chunk;
      kept.push(Buffer.from(chunk));
      forward = onward;
      return Buffer.alloc(0);
    };
    const write = victim.write(0, Buffer.alloc(65_536, 9));
    const outcome = write.catch((error: unknown) => error);
    await eventually('the data at the relay', () => kept.length > 0);
    await successor.reservations.preempt(2n, 1n, ReservationType.writeExclusive, { abort: true });
    holding = false;
    for (const chunk of kept) forward?.(chunk);
    expect(await outcome).toEqual(conflict);
    expect(device.begun).toBe(0);
  });

  it('of two hosts against each other lets one win, and neither hang', async () => {
    const { address } = await startTarget(cleanup);
    const pair = await Promise.all(['a', 'b'].map((name) => host(address, name)));
    const [a, b] = pair.map(onlyNamespace);
    for (let round = 0; round < 20; round += 1) {
      await a?.reservations.replaceKey('ignore', 1n);
      await b?.reservations.replaceKey('ignore', 2n);
      const outcomes = await Promise.allSettled([
        a?.reservations.preempt(1n, 2n, 1, { abort: true }),
        b?.reservations.preempt(2n, 1n, 1, { abort: true }),
      ]);
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    }
  });
});

describe('reservation notifications', () => {
  it('reach the hosts that lose something, in order, and are masked for each namespace', async () => {
    const { address } = await startTarget(cleanup);
    const loser = await host(address, 'loser');
    const winner = onlyNamespace(await host(address, 'winner'));
    const { reservations } = onlyNamespace(loser);
    const told: { readonly nsid: number; readonly notice: number }[] = [];
    loser.on('reservationChanged', (event) => told.push(event));
    await reservations.register(1n);
    await winner.reservations.register(2n);
    await winner.reservations.acquire(2n, ReservationType.writeExclusiveRegistrantsOnly);
    await winner.reservations.release(2n, ReservationType.writeExclusiveRegistrantsOnly);
    await winner.reservations.preempt(2n, 1n, ReservationType.writeExclusive);
    await reservations.register(1n);
    await winner.reservations.clear(2n);
    await eventually('three notifications', () => told.length >= 3);
    expect(told).toEqual([
      { nsid: 1, notice: ReservationNotice.reservationReleased },
      { nsid: 1, notice: ReservationNotice.registrationPreempted },
      { nsid: 1, notice: ReservationNotice.reservationPreempted },
    ]);
  });

  it('wait in the log, oldest first, each telling how many follow', async () => {
    const { address, subsystem } = await startTarget(cleanup);
    const admin = await connectRaw(cleanup, address);
    await admin.enable(1000);
    const { queue } = await connectRaw(cleanup, address, { queueId: 1, controllerId: admin.id });
    const register = (): Promise<unknown> => {
      const data = Buffer.alloc(16);
      data.writeBigUInt64LE(9n, 8);
      return execute(queue, 'x', makeCommand(IoOpcode.reservationRegister, 1, [0]), data);
    };
    const other = onlyNamespace(await host(address, 'other'));
    const takeAway = async (): Promise<void> => {
      await register();
      await other.reservations.preempt(2n, 9n, 1);
    };
    await other.reservations.register(2n);
    const next = async (): Promise<readonly number[]> => {
      const page = await admin.logPage(LogPage.reservationNotification, 64);
      const { type, further, nsid } = readReservationNotification(page);
      return [Number(page.readBigUInt64LE(0)), type, further, nsid];
    };
    expect(await next()).toEqual([0, 0, 0, 0]);
    let events = 0;
    admin.listen((notice) => {
      expect(notice.logPage).toBe(LogPage.reservationNotification);
      events += 1;
    });
    await takeAway();
    await takeAway();
    await takeAway();
    await eventually('the event', () => events === 1);
    expect(await next()).toEqual([1, 1, 2, 1]);
    await eventually('the next event, as the log was read', () => events === 2);
    expect(await next()).toEqual([2, 1, 1, 1]);
    expect(await next()).toEqual([3, 1, 0, 1]);
    expect(await next()).toEqual([0, 0, 0, 0]);
    // Masked: bit 1 is for registrations that are preempted.
    const mask = (nsid: number, value: number): Promise<unknown> =>
      execute(
        admin.queue,
        'Set Features',
        makeCommand(0x09, nsid, [Feature.reservationNotificationMask, value]),
      );
    await mask(1, 0x02);
    await takeAway();
    expect(await next()).toEqual([0, 0, 0, 0]);
    await mask(0xffff_ffff, 0x0c);
    const { dword0 } = await execute(
      admin.queue,
      'Get Features',
      makeCommand(0x0a, 1, [Feature.reservationNotificationMask]),
    );
    expect(dword0).toBe(0x0c);
    await takeAway();
    expect(await next()).toEqual([4, 1, 0, 1]);
    expect((await statusOf(mask(1, 0x10))).code).toBe(Status.invalidField);
    expect((await statusOf(mask(7, 0))).code).toBe(Status.invalidNamespace);
    // More than the log holds: the oldest go, and the counts show it.
    for (let count = 0; count < 300; count += 1) await takeAway();
    const oldest = await next();
    expect([oldest[0], oldest[2]]).toEqual([4 + 300 - 255, 255]);
    expect(subsystem.namespace(1)?.reservations.state.registrants).toHaveLength(1);
  });
});

describe('persistence', () => {
  it('through a power loss holds what the hosts wanted held', async () => {
    const store = new MemoryStore();
    const start = async (): Promise<{
      readonly target: NvmeTcpTarget;
      readonly address: { readonly traddr: string; readonly trsvcid: string };
    }> => {
      const target = new NvmeTcpTarget();
      cleanup.add(() => target.close());
      const subsystem = target.addSubsystem({ nqn: SUBSYSTEM_NQN, allowAnyHost: true });
      const device = new MemoryBlockDevice({ sizeBytes: 1 << 20 });
      subsystem.addNamespace({ device, nsid: 1, reservationStore: store });
      return {
        target,
        address: await subsystem.addListener({ traddr: '127.0.0.1', trsvcid: '0' }),
      };
    };
    const before = await start();
    const holder = onlyNamespace(await host(before.address, 'holder'));
    await holder.reservations.register(1n);
    await holder.reservations.acquire(1n, ReservationType.writeExclusive);
    // The empty record is what was there before, so nothing has been written.
    expect(store.saves).toBe(0);
    await holder.reservations.register(1n, { persistent: true });
    expect(store.saves).toBe(1);
    await before.target.close();
    const after = await start();
    const stranger = onlyNamespace(await host(after.address, 'stranger'));
    // The very first command finds the reservation.
    await expect(stranger.write(0, block)).rejects.toEqual(conflict);
    const back = onlyNamespace(await host(after.address, 'holder'));
    await back.write(0, block);
    expect((await back.reservations.report()).persistent).toBe(true);
    const { registrants } = await back.reservations.report();
    expect(registrants.map(({ key, holdsReservation }) => [key, holdsReservation])).toEqual([
      [1n, true],
    ]);
    // Switched off by the feature, it is gone after the next power loss.
    const admin = await connectRaw(cleanup, after.address);
    await admin.enable(1000);
    const set = (value: number): Promise<unknown> =>
      execute(
        admin.queue,
        'Set Features',
        makeCommand(0x09, 1, [Feature.reservationPersistence, value]),
      );
    const get = makeCommand(0x0a, 1, [Feature.reservationPersistence]);
    expect((await execute(admin.queue, 'Get Features', get)).dword0).toBe(1);
    await set(0);
    expect((await execute(admin.queue, 'Get Features', get)).dword0).toBe(0);
    await after.target.close();
    const last = await start();
    await onlyNamespace(await host(last.address, 'stranger')).write(0, block);
  });

  it('admits nobody while the store cannot be read, and changes nothing when it cannot be written', async () => {
    const store = new MemoryStore();
    store.failing = true;
    const { subsystem, address } = await startTarget(cleanup);
    const device = new MemoryBlockDevice({ sizeBytes: 1 << 20 });
    subsystem.addNamespace({ device, nsid: 2, reservationStore: store });
    const controller = await host(address, 'a');
    const namespace = controller.namespaces()[1];
    if (namespace === undefined) throw new Error('there is no namespace 2');
    await expect(namespace.read(0, 512)).rejects.toEqual(
      expect.objectContaining({ failure: 'gone' }),
    );
    await expect(namespace.reservations.register(1n)).rejects.toThrow(/namespaceNotReady/);
    await onlyNamespace(controller).read(0, 512);
    store.failing = false;
    await namespace.write(0, block);
    await namespace.reservations.register(1n, { persistent: true });
    store.failing = true;
    await expect(namespace.reservations.acquire(1n, 1)).rejects.toThrow(/internalError/);
    expect((await namespace.reservations.report()).type).toBe(0);
    store.failing = false;
    await namespace.reservations.acquire(1n, 1);
    expect((await store.load())?.reservation?.type).toBe(1);
  });

  it('is told of in RESCAP, and its feature refused without a store', async () => {
    const { subsystem, address } = await startTarget(cleanup);
    const device = new MemoryBlockDevice({ sizeBytes: 1 << 20 });
    subsystem.addNamespace({ device, nsid: 2, reservationStore: new MemoryStore() });
    const admin = await connectRaw(cleanup, address);
    await admin.enable(1000);
    expect([(await admin.identify(0, 1))[31], (await admin.identify(0, 2))[31]]).toEqual([
      0xfe, 0xff,
    ]);
    expect([(await admin.identify(8, 1))[2], (await admin.identify(8, 2))[2]]).toEqual([
      0xfe, 0xff,
    ]);
    expect((await admin.identify(1, 0)).readUInt16LE(520) & 0x20).toBe(0x20);
    const set = (nsid: number): Promise<unknown> =>
      execute(
        admin.queue,
        'Set Features',
        makeCommand(0x09, nsid, [Feature.reservationPersistence, 1]),
      );
    expect((await statusOf(set(1))).code).toBe(Status.invalidField);
    await set(2);
    await set(0xffff_ffff);
    expect(subsystem.namespace(1)?.reservations.state.persistent).toBe(false);
  });
});

describe('the host', () => {
  it('does not send a reservation command twice when the connection breaks', async () => {
    const { address } = await startTarget(cleanup);
    const relay = new Relay(() => address);
    const controller = await host(await relay.start(cleanup), 'a');
    const { reservations } = onlyNamespace(controller);
    await reservations.register(1n);
    relay.toHost = () => Buffer.alloc(0);
    const broken = reservations.unregister(1n).catch((error: unknown) => error);
    const observer = onlyNamespace(await host(address, 'b'));
    const deadlineMs = performance.now() + 10_000;
    while ((await observer.reservations.report()).registrantCount > 0)
      expect(performance.now()).toBeLessThan(deadlineMs);
    const connected = nextEvent((listener) => controller.on('connected', listener));
    relay.toHost = (chunk) => chunk;
    relay.cut();
    expect(await broken).toEqual(expect.objectContaining({ failure: 'aborted' }));
    await connected;
    // It did happen: only the answer was lost.
    expect((await reservations.report()).registrantCount).toBe(0);
  });
});
