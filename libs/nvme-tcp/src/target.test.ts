import { afterEach, describe, expect, it } from 'vitest';
import { execute } from './host/admin-queue.js';
import { MemoryBlockDevice } from './memory-block-device.js';
import { makeCommand } from './nvme/entry.js';
import { Feature } from './nvme/features.js';
import { AnaState, LogPage, readDiscoveryLog } from './nvme/log-page.js';
import { DISCOVERY_NQN } from './nvme/nqn.js';
import { Status } from './nvme/status.js';
import { connectRaw, statusOf } from './test-raw-queue.js';
import {
  Cleanup,
  eventually,
  GatedDevice,
  HOST_NQN,
  nextEvent,
  startTarget,
} from './test-support.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

describe('Connect', () => {
  it.each([
    [
      'an unknown subsystem',
      { subnqn: 'nqn.2024-01.io.lariat:x' },
      Status.connectInvalidParameters,
      0x1_0100,
    ],
    ['an empty host NQN', { hostnqn: '' }, Status.connectInvalidParameters, 0x1_0200],
    ['a queue of one entry', { queueSize: 0 }, Status.connectInvalidParameters, 44],
    ['a queue that is too large', { queueSize: 128 }, Status.connectInvalidParameters, 44],
    ['a static controller', { controllerId: 5 }, Status.connectInvalidParameters, 0x1_0010],
    [
      'an unknown controller',
      { queueId: 1, controllerId: 99 },
      Status.connectInvalidParameters,
      0x1_0010,
    ],
    [
      'I/O to the discovery subsystem',
      { queueId: 1, subnqn: DISCOVERY_NQN },
      Status.connectInvalidParameters,
      42,
    ],
  ])('rejects %s', async (_what, fields, code, dword0) => {
    const { address } = await startTarget(cleanup);
    expect(await statusOf(connectRaw(cleanup, address, fields))).toEqual({ code, dword0 });
  });

  it('rejects a host that is not allowed, also at a listener of another subsystem', async () => {
    const { target, address } = await startTarget(cleanup);
    const other = target.addSubsystem({ nqn: 'nqn.2024-01.io.lariat:other', allowAnyHost: false });
    const listener = await other.addListener({ traddr: '127.0.0.1', trsvcid: '0' });
    expect(listener.trsvcid).not.toBe(address.trsvcid);
    expect((await statusOf(connectRaw(cleanup, listener, { subnqn: other.nqn }))).code).toBe(
      Status.connectInvalidHost,
    );
    expect((await statusOf(connectRaw(cleanup, listener))).code).toBe(Status.connectInvalidHost);
  });

  it('rejects an I/O queue before the controller is enabled, twice, and beyond the granted number', async () => {
    const { address } = await startTarget(cleanup);
    const admin = await connectRaw(cleanup, address);
    const io = { queueId: 1, controllerId: admin.id };
    expect((await statusOf(connectRaw(cleanup, address, io))).code).toBe(
      Status.connectInvalidParameters,
    );
    await admin.enable(1000);
    expect(await admin.setFeature(Feature.numberOfQueues, 0x0001_0001)).toBe(0x0001_0001);
    expect((await statusOf(connectRaw(cleanup, address, { ...io, queueId: 3 }))).code).toBe(
      Status.invalidQueueIdentifier,
    );
    await connectRaw(cleanup, address, io);
    expect((await statusOf(connectRaw(cleanup, address, io))).code).toBe(
      Status.commandSequenceError,
    );
  });

  it('takes an I/O queue from the host of its admin queue alone', async () => {
    const { address } = await startTarget(cleanup);
    const admin = await connectRaw(cleanup, address);
    await admin.enable(1000);
    const io = { queueId: 1, controllerId: admin.id };
    expect(
      await statusOf(connectRaw(cleanup, address, { ...io, hostnqn: 'nqn.2024-01.io.lariat:b' })),
    ).toEqual({ code: Status.connectInvalidParameters, dword0: 0x1_0200 });
    expect(
      await statusOf(connectRaw(cleanup, address, { ...io, hostId: Buffer.alloc(16, 2) })),
    ).toEqual({ code: Status.connectInvalidParameters, dword0: 0x1_0000 });
    // The identifier may be left out.
    await connectRaw(cleanup, address, { ...io, hostId: Buffer.alloc(16) });
  });

  it('keeps controller ids within their range, and says when none is free', async () => {
    const { address, subsystem } = await startTarget(cleanup, {
      subsystem: { minCntlid: 10, maxCntlid: 11 },
    });
    const ids = [(await connectRaw(cleanup, address)).id, (await connectRaw(cleanup, address)).id];
    expect(ids.toSorted((a, b) => a - b)).toEqual([10, 11]);
    expect((await statusOf(connectRaw(cleanup, address))).code).toBe(Status.connectControllerBusy);
    expect(subsystem.controllers().map(({ cntlid, hostNqn }) => ({ cntlid, hostNqn }))).toEqual(
      ids.map((cntlid) => ({ cntlid, hostNqn: HOST_NQN })),
    );
  });
});

describe('the controller', () => {
  it('disconnects a host that is silent for its keep alive timeout', async () => {
    const { address, subsystem } = await startTarget(cleanup);
    await connectRaw(cleanup, address, { keepAliveTimeoutMs: 100 });
    expect(subsystem.controllers()).toHaveLength(1);
    await eventually('the keep alive timeout', () => subsystem.controllers().length === 0);
  });

  it('refuses admin commands until it is enabled, and what it does not know', async () => {
    const { address } = await startTarget(cleanup);
    const admin = await connectRaw(cleanup, address);
    expect((await statusOf(admin.identify(1, 0))).code).toBe(Status.commandSequenceError);
    await admin.enable(1000);
    expect((await statusOf(admin.identify(0x55, 0))).code).toBe(Status.invalidField);
    expect((await statusOf(admin.identify(0, 5000))).code).toBe(Status.invalidNamespace);
    expect((await admin.identify(0, 200)).every((byte) => byte === 0)).toBe(true);
    expect((await statusOf(admin.logPage(0xc0, 512))).code).toBe(Status.invalidLogPage);
    expect((await statusOf(admin.setFeature(0x77, 0))).code).toBe(Status.invalidField);
    expect((await statusOf(execute(admin.queue, 'x', makeCommand(0x80, 0)))).code).toBe(
      Status.invalidOpcode,
    );
  });

  it('answers the log pages and features that hosts read', async () => {
    const { address } = await startTarget(cleanup, { subsystem: { anaReporting: true } });
    const admin = await connectRaw(cleanup, address);
    await admin.enable(1000);
    expect((await admin.logPage(LogPage.error, 64)).every((byte) => byte === 0)).toBe(true);
    expect((await admin.logPage(LogPage.health, 512))[3]).toBe(100);
    expect((await admin.logPage(LogPage.firmwareSlot, 512))[0]).toBe(1);
    const effects = await admin.logPage(LogPage.commandEffects, 4096);
    expect([effects[0x06 * 4], effects[1024 + 4], effects[1024 + 8]]).toEqual([1, 3, 1]);
    const ana = await admin.logPage(LogPage.ana, 128);
    expect([
      ana.readUInt16LE(8),
      ana.readUInt32LE(16),
      ana.readUInt32LE(20),
      ana[32],
      ana.readUInt32LE(48),
    ]).toEqual([1, 1, 1, AnaState.optimized, 1]);
    await admin.setFeature(Feature.volatileWriteCache, 0);
    const feature = async (id: number): Promise<number> =>
      (await execute(admin.queue, 'Get Features', makeCommand(0x0a, 0, [id]))).dword0;
    expect(await feature(Feature.volatileWriteCache)).toBe(0);
    await admin.setFeature(Feature.keepAliveTimer, 12_345);
    expect(await feature(Feature.keepAliveTimer)).toBe(12_400);
    expect(await feature(Feature.temperatureThreshold)).toBe(0xffff);
  });

  it('flushes each write when the host asks for it, or has turned the cache off', async () => {
    const device = new GatedDevice({ sizeBytes: 1 << 20 });
    const { address } = await startTarget(cleanup, { device });
    const admin = await connectRaw(cleanup, address);
    await admin.enable(1000);
    const io = await connectRaw(cleanup, address, { queueId: 1, controllerId: admin.id });
    const write = (dword12: number): Promise<unknown> =>
      execute(io.queue, 'Write', makeCommand(0x01, 1, [0, 0, dword12]), Buffer.alloc(512));
    await write(0);
    expect(device.flushes).toBe(0);
    await write(0x4000_0000);
    expect(device.flushes).toBe(1);
    await admin.setFeature(Feature.volatileWriteCache, 0);
    await write(0);
    expect(device.flushes).toBe(2);
  });

  it('compares, and refuses I/O that does not fit', async () => {
    const { address } = await startTarget(cleanup, {
      device: new MemoryBlockDevice({ sizeBytes: 1 << 20 }),
    });
    const admin = await connectRaw(cleanup, address);
    await admin.enable(1000);
    const { queue } = await connectRaw(cleanup, address, { queueId: 1, controllerId: admin.id });
    const io = (
      opcode: number,
      nsid: number,
      dwords: readonly number[],
      data?: Buffer,
      into?: Buffer,
    ): Promise<unknown> => execute(queue, 'I/O', makeCommand(opcode, nsid, dwords), data, into);
    await io(0x05, 1, [0, 0, 0], Buffer.alloc(512));
    expect((await statusOf(io(0x05, 1, [0, 0, 0], Buffer.alloc(512, 1)))).code).toBe(
      Status.compareFailure,
    );
    expect((await statusOf(io(0x02, 1, [2048, 0, 0], undefined, Buffer.alloc(512)))).code).toBe(
      Status.lbaOutOfRange,
    );
    expect(
      (await statusOf(io(0x02, 1, [0xffff_ffff, 0xffff_ffff, 0], undefined, Buffer.alloc(512))))
        .code,
    ).toBe(Status.lbaOutOfRange);
    expect((await statusOf(io(0x02, 2, [0, 0, 0], undefined, Buffer.alloc(512)))).code).toBe(
      Status.invalidNamespace,
    );
    expect((await statusOf(io(0x02, 1, [0, 0, 1], undefined, Buffer.alloc(512)))).code).toBe(
      Status.dataSglLengthInvalid,
    );
    expect((await statusOf(io(0x01, 1, [0, 0, 1], Buffer.alloc(512)))).code).toBe(
      Status.dataSglLengthInvalid,
    );
    // Beyond MDTS, by the SGL and by the number of blocks.
    expect((await statusOf(io(0x01, 1, [0, 0, 511], Buffer.alloc(262_144)))).code).toBe(
      Status.invalidField,
    );
    expect((await statusOf(io(0x01, 1, [0, 0, 511], Buffer.alloc(131_072)))).code).toBe(
      Status.invalidField,
    );
    expect((await statusOf(io(0x02, 1, [0, 0, 511], undefined, Buffer.alloc(131_072)))).code).toBe(
      Status.invalidField,
    );
    expect((await statusOf(io(0x09, 1, [3, 4], Buffer.alloc(16)))).code).toBe(
      Status.dataSglLengthInvalid,
    );
    expect((await statusOf(io(0x77, 1, []))).code).not.toBe(Status.success);
  });

  it('limits asynchronous event requests, and aborts them', async () => {
    const { address } = await startTarget(cleanup);
    const admin = await connectRaw(cleanup, address);
    await admin.enable(1000);
    const requests = Array.from({ length: 5 }, () =>
      statusOf(execute(admin.queue, 'AER', makeCommand(0x0c, 0))),
    );
    expect((await Promise.race(requests)).code).toBe(Status.asyncEventLimitExceeded);
    // Command ids are given out from the top of the free list; the fifth has been freed.
    const abort = (commandId: number): Promise<{ readonly dword0: number }> =>
      execute(admin.queue, 'Abort', makeCommand(0x08, 0, [commandId << 16]));
    const results = await Promise.all(
      Array.from({ length: 31 }, (_, id) => id)
        .slice(0, 8)
        .map(abort),
    );
    expect(results.filter((result) => result.dword0 === 0)).toHaveLength(4);
    expect(
      (await Promise.all(requests)).filter(({ code }) => code === Status.abortedByRequest),
    ).toHaveLength(4);
  });
});

describe('discovery', () => {
  it('lists what a host may connect to, and tells it of changes', async () => {
    const { target, subsystem, address } = await startTarget(cleanup);
    const hidden = target.addSubsystem({ nqn: 'nqn.2024-01.io.lariat:hidden' });
    await hidden.addListener(address);
    const admin = await connectRaw(cleanup, address, {
      subnqn: DISCOVERY_NQN,
      keepAliveTimeoutMs: 5000,
    });
    await admin.enable(1000);
    expect((await admin.identify(1, 0))[111]).toBe(2);
    expect((await statusOf(admin.identify(2, 0))).code).toBe(Status.invalidField);
    const before = await admin.logPage(LogPage.discovery, 3072);
    expect(readDiscoveryLog(before).count).toBe(2);
    expect(before.toString('latin1', 1024 + 256, 1024 + 256 + subsystem.nqn.length)).toBe(
      subsystem.nqn,
    );
    expect(before.toString('latin1', 1024 + 32, 1024 + 32 + address.trsvcid.length)).toBe(
      address.trsvcid,
    );
    expect(before.toString('latin1', 2048 + 256, 2048 + 256 + DISCOVERY_NQN.length)).toBe(
      DISCOVERY_NQN,
    );
    const noticed = nextEvent<number>((listener) => {
      admin.listen((notice) => listener(notice.logPage));
      return () => undefined;
    });
    hidden.addHost(HOST_NQN);
    expect(await noticed).toBe(LogPage.discovery);
    const after = readDiscoveryLog(await admin.logPage(LogPage.discovery, 1024));
    expect(after.count).toBe(3);
    expect(after.generation).toBeGreaterThan(readDiscoveryLog(before).generation);
  });
});
