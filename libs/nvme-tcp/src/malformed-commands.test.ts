import { afterEach, describe, expect, it } from 'vitest';
import { makeCommand, setCommandId, setSgl, SglType } from './nvme/entry.js';
import { DYNAMIC_CONTROLLER_ID, makeFabricsCommand } from './nvme/fabrics.js';
import { AdminOpcode, FabricsCommand, IoOpcode } from './nvme/opcodes.js';
import { Status } from './nvme/status.js';
import { PduType } from './pdu/constants.js';
import { readTransferHeader } from './pdu/pdu.js';
import {
  beginWrite,
  commandEntry,
  hostAt,
  nextCompletion,
  sendConnect,
} from './test-staged-host.js';
import { Cleanup, eventually, GatedDevice, type RawHost, startTarget } from './test-support.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const BLOCKS = (8 << 20) / 512;
const READ = [0, 0, 0] as const;

/** An entry with a field changed. */
function altered(entry: Buffer, change: (entry: Buffer) => void): Buffer {
  change(entry);
  return entry;
}

const flags =
  (value: number) =>
  (entry: Buffer): void =>
    void entry.writeUInt8(value, 1);
const sglType =
  (type: number) =>
  (entry: Buffer): void =>
    void entry.writeUInt8(type, 39);

/** In-capsule data at an offset; the capsule holds `capsuleLength` bytes. */
const inCapsule = (offset: number, length: number): Buffer =>
  altered(commandEntry(IoOpcode.write, 1, 0, READ), (entry) => {
    setSgl(entry, SglType.inCapsule, length);
    entry.writeUInt32LE(offset, 24);
  });

interface Wrong {
  readonly what: string;
  readonly entry: Buffer;
  /** Bytes in the capsule; 0 for none. */
  readonly capsuleData: number;
  readonly code: number;
}

const wrong = (what: string, code: number, entry: Buffer, capsuleData = 0): Wrong => ({
  what,
  code,
  entry,
  capsuleData,
});

const read = (dwords: readonly number[], lengthBytes: number, nsid = 1): Buffer =>
  commandEntry(IoOpcode.read, 1, lengthBytes, dwords, nsid);

const IO: readonly Wrong[] = [
  wrong('an unknown opcode without data', Status.invalidOpcode, commandEntry(0x7c, 1, 0)),
  wrong('an unknown opcode that reads', Status.invalidOpcode, commandEntry(0x7e, 1, 512)),
  wrong(
    'an unknown opcode that moves data both ways',
    Status.invalidOpcode,
    commandEntry(0x83, 1, 512),
  ),
  wrong('an admin opcode', Status.invalidOpcode, commandEntry(AdminOpcode.identify, 1, 4096)),
  wrong('namespace 0', Status.invalidNamespace, read(READ, 512, 0)),
  wrong('a namespace that is not there', Status.invalidNamespace, read(READ, 512, 2)),
  wrong('a namespace beyond all', Status.invalidNamespace, read(READ, 512, 0xffff_fffe)),
  wrong('all namespaces', Status.invalidNamespace, read(READ, 512, 0xffff_ffff)),
  wrong('the block behind the last', Status.lbaOutOfRange, read([BLOCKS, 0, 0], 512)),
  wrong('blocks across the end', Status.lbaOutOfRange, read([BLOCKS - 1, 0, 1], 1024)),
  wrong('block 2^32', Status.lbaOutOfRange, read([0, 1, 0], 512)),
  wrong('block 2^64 - 1', Status.lbaOutOfRange, read([0xffff_ffff, 0xffff_ffff, 0], 512)),
  wrong(
    'zeros across the end',
    Status.lbaOutOfRange,
    commandEntry(IoOpcode.writeZeroes, 1, 0, [BLOCKS - 1, 0, 1]),
  ),
  wrong(
    'verification across the end',
    Status.lbaOutOfRange,
    commandEntry(IoOpcode.verify, 1, 0, [BLOCKS - 1, 0, 1]),
  ),
  wrong('a read into nothing', Status.dataSglLengthInvalid, read(READ, 0)),
  wrong('a read into less than a block', Status.dataSglLengthInvalid, read(READ, 508)),
  wrong(
    'a write of nothing',
    Status.dataSglLengthInvalid,
    commandEntry(IoOpcode.write, 1, 0, READ),
  ),
  wrong(
    'a write of no whole dwords',
    Status.dataSglLengthInvalid,
    commandEntry(IoOpcode.write, 1, 514, READ),
  ),
  wrong('a write of nothing in the capsule', Status.dataSglLengthInvalid, inCapsule(0, 0)),
  wrong('more data than the capsule holds', Status.dataSglLengthInvalid, inCapsule(0, 512), 508),
  wrong('data from behind the capsule', Status.sglOffsetInvalid, inCapsule(516, 4), 512),
  wrong('data across the end of the capsule', Status.dataSglLengthInvalid, inCapsule(4, 512), 512),
  wrong('a read beyond MDTS', Status.invalidField, read([0, 0, 256], 131_584)),
  wrong(
    'a write beyond MDTS',
    Status.invalidField,
    commandEntry(IoOpcode.write, 1, 131_584, [0, 0, 256]),
  ),
  wrong('a read of 4 GiB', Status.invalidField, read(READ, 0xffff_fffc)),
  wrong('PRPs', Status.invalidField, altered(read(READ, 512), flags(0x00))),
  wrong('the reserved PSDT', Status.invalidField, altered(read(READ, 512), flags(0xc0))),
  wrong(
    'the first of two fused commands',
    Status.invalidField,
    altered(read(READ, 512), flags(0x41)),
  ),
  wrong(
    'the second of two fused commands',
    Status.invalidField,
    altered(read(READ, 512), flags(0x42)),
  ),
  // A data block in host memory, a bit bucket, two kinds of segment, keyed and vendor specific ones.
  ...[0x00, 0x10, 0x20, 0x30, 0x40, 0x4f, 0x5b, 0xf0].map((type) =>
    wrong(
      `SGL type ${type.toString(16)}h`,
      Status.sglDescriptorTypeInvalid,
      altered(read(READ, 512), sglType(type)),
    ),
  ),
  wrong(
    'a read into the capsule',
    Status.sglDescriptorTypeInvalid,
    altered(read(READ, 512), sglType(SglType.inCapsule)),
  ),
  wrong(
    'an I/O queue asked for properties',
    Status.invalidOpcode,
    altered(makeFabricsCommand(FabricsCommand.propertyGet), (entry) => setCommandId(entry, 1)),
  ),
];

const ADMIN: readonly Wrong[] = [
  wrong('an unknown opcode', Status.invalidOpcode, commandEntry(0xfc, 1, 0)),
  // Queues over fabrics are made by Connect.
  wrong('Create I/O Submission Queue', Status.invalidOpcode, commandEntry(0x01, 1, 0)),
  wrong('Delete I/O Completion Queue', Status.invalidOpcode, commandEntry(0x04, 1, 0)),
  wrong('an unknown CNS', Status.invalidField, commandEntry(AdminOpcode.identify, 1, 4096, [0xfe])),
  wrong(
    'an unknown log',
    Status.invalidLogPage,
    commandEntry(AdminOpcode.getLogPage, 1, 16, [0x0003_00ee]),
  ),
  wrong(
    'a log beyond the buffer',
    Status.invalidField,
    commandEntry(AdminOpcode.getLogPage, 1, 16, [0x007f_0002]),
  ),
  wrong(
    'an unknown feature',
    Status.invalidField,
    commandEntry(AdminOpcode.getFeatures, 1, 0, [0xc0]),
  ),
  wrong(
    'a saved feature',
    Status.featureNotSaveable,
    altered(makeCommand(AdminOpcode.setFeatures, 0, [0x8000_0006, 1]), (entry) => {
      setCommandId(entry, 1);
      setSgl(entry, SglType.inCapsule, 0);
    }),
  ),
  ...[0x02, 0x0c, 0xc0].map((type) =>
    wrong(
      `fabrics command ${type.toString(16)}h`,
      Status.invalidField,
      altered(makeFabricsCommand(type), (entry) => {
        setCommandId(entry, 1);
        setSgl(entry, SglType.transport, 0);
      }),
    ),
  ),
  wrong(
    'Disconnect, which is not supported',
    Status.invalidOpcode,
    altered(makeFabricsCommand(FabricsCommand.disconnect), (entry) => setCommandId(entry, 1)),
  ),
];

/** What the command ended in, beside what it was, which says which row of a table fails. */
async function outcomeOf(
  host: RawHost,
  { what, entry, capsuleData }: Wrong,
): Promise<readonly [what: string, commandId: number, code: number]> {
  host.encoder.capsuleCommand(entry, capsuleData === 0 ? undefined : Buffer.alloc(capsuleData));
  const { commandId, code } = await nextCompletion(host);
  return [what, commandId, code];
}

async function expectUsable(host: RawHost): Promise<void> {
  host.encoder.capsuleCommand(read(READ, 512));
  expect((await host.next(PduType.c2hData)).data).toHaveLength(512);
  expect(await nextCompletion(host)).toMatchObject({ commandId: 1, code: Status.success });
  expect([host.closed, host.received]).toEqual([false, []]);
}

describe('a command that cannot be done ends in its status, and its queue goes on', () => {
  it('on an I/O queue', async () => {
    const { address } = await startTarget(cleanup);
    const { host } = await hostAt(cleanup, address, 'io');
    for (const each of IO) {
      expect(await outcomeOf(host, each)).toEqual([each.what, 1, each.code]);
      await expectUsable(host);
    }
  });

  it('on the admin queue', async () => {
    const { address } = await startTarget(cleanup);
    const { host } = await hostAt(cleanup, address, 'admin');
    for (const each of ADMIN) {
      expect(await outcomeOf(host, each)).toEqual([each.what, 1, each.code]);
    }
    host.encoder.capsuleCommand(commandEntry(AdminOpcode.keepAlive, 1, 0));
    expect((await nextCompletion(host)).code).toBe(Status.success);
  });

  it('with data that the host had to send first', async () => {
    const { address, device } = await startTarget(cleanup);
    const { host } = await hostAt(cleanup, address, 'io');
    for (const [opcode, nsid, startBlock, code] of [
      [0x7d, 1, 0, Status.invalidOpcode],
      [IoOpcode.write, 9, 0, Status.invalidNamespace],
      [IoOpcode.write, 1, BLOCKS, Status.lbaOutOfRange],
      [IoOpcode.compare, 1, BLOCKS, Status.lbaOutOfRange],
    ] as const) {
      host.encoder.capsuleCommand(commandEntry(opcode, 1, 512, [startBlock, 0, 0], nsid));
      const { transferTag } = readTransferHeader((await host.next(PduType.r2t)).header);
      host.encoder.hostToControllerData(1, transferTag, 0, Buffer.alloc(512, 0xee), true);
      expect(await nextCompletion(host)).toMatchObject({ commandId: 1, code });
      await expectUsable(host);
    }
    expect((await device.read(0, 8 << 20)).every((byte) => byte === 0)).toBe(true);
  });

  it('when its identifier is taken', async () => {
    const { address } = await startTarget(cleanup);
    const { host } = await hostAt(cleanup, address, 'io');
    const tag = await beginWrite(host, 2, 512);
    host.encoder.capsuleCommand(commandEntry(IoOpcode.flush, 2, 0));
    expect(await nextCompletion(host)).toMatchObject({ code: Status.commandIdConflict });
    host.encoder.hostToControllerData(2, tag, 0, Buffer.alloc(512), true);
    expect(await nextCompletion(host)).toMatchObject({ commandId: 2, code: Status.success });
    await expectUsable(host);
  });
});

describe('Connect', () => {
  it('comes before every other command', async () => {
    const { address } = await startTarget(cleanup);
    const { host } = await hostAt(cleanup, address, 'initialized');
    for (const entry of [
      read(READ, 512),
      commandEntry(IoOpcode.flush, 1, 0),
      commandEntry(AdminOpcode.identify, 1, 4096, [1]),
      commandEntry(AdminOpcode.keepAlive, 1, 0),
      altered(makeFabricsCommand(FabricsCommand.propertyGet), (each) => setCommandId(each, 1)),
    ])
      expect(await outcomeOf(host, wrong('early', Status.commandSequenceError, entry))).toEqual([
        'early',
        1,
        Status.commandSequenceError,
      ]);
    sendConnect(host, 0, DYNAMIC_CONTROLLER_ID, {}, 1);
    expect(await nextCompletion(host)).toMatchObject({ commandId: 1, code: Status.success });
  });

  it.each(['admin', 'io'] as const)('comes once a connection: %s', async (stage) => {
    const { address, subsystem } = await startTarget(cleanup);
    const { host } = await hostAt(cleanup, address, stage);
    const id = subsystem.controllers()[0]?.cntlid ?? 0;
    sendConnect(host, 0, DYNAMIC_CONTROLLER_ID, {}, 1);
    expect(await nextCompletion(host)).toMatchObject({ code: Status.commandSequenceError });
    sendConnect(host, 2, id, {}, 1);
    expect(await nextCompletion(host)).toMatchObject({ code: Status.commandSequenceError });
    expect([host.closed, subsystem.controllers().length]).toEqual([false, 1]);
  });

  it('is taken with flags of 0, as fabrics commands have no others', async () => {
    const { address } = await startTarget(cleanup);
    const { host } = await hostAt(cleanup, address, 'initialized');
    sendConnect(host, 0, DYNAMIC_CONTROLLER_ID, { flags: 0 }, 1);
    expect((await nextCompletion(host)).code).toBe(Status.success);
  });

  it('is missed after a time, also with half a PDU sent', async () => {
    const { address } = await startTarget(cleanup, { target: { associationTimeoutMs: 50 } });
    const hosts = [
      (await hostAt(cleanup, address, 'open')).host,
      (await hostAt(cleanup, address, 'initialized')).host,
      (await hostAt(cleanup, address, 'open')).host,
    ];
    hosts[2]?.write(Buffer.alloc(5));
    await eventually('the end of all three', () => hosts.every(({ closed }) => closed));
    expect(hosts.map(({ received }) => received)).toEqual([[], [], []]);
  });
});

describe('the keep alive timeout', () => {
  it('ends the I/O queues too, also in the midst of a transfer', async () => {
    const { address, subsystem } = await startTarget(cleanup);
    const { host, admin } = await hostAt(cleanup, address, 'io', { keepAliveTimeoutMs: 200 });
    await beginWrite(host, 1, 4096);
    await eventually('the end of both', () => host.closed && admin?.closed === true);
    expect(subsystem.controllers()).toEqual([]);
  });

  it('is put off by keep alive commands', async () => {
    const { address } = await startTarget(cleanup);
    const { host } = await hostAt(cleanup, address, 'admin', { keepAliveTimeoutMs: 200 });
    const endMs = performance.now() + 600;
    while (performance.now() < endMs) {
      host.encoder.capsuleCommand(commandEntry(AdminOpcode.keepAlive, 1, 0));
      expect((await nextCompletion(host)).code).toBe(Status.success);
    }
    expect(host.closed).toBe(false);
  });
});

describe('Abort', () => {
  it('aborts no command that its device has begun, that waits for data, or that is not there', async () => {
    const device = new GatedDevice({ sizeBytes: 1 << 20 });
    const { address } = await startTarget(cleanup, { device });
    const { host, admin } = await hostAt(cleanup, address, 'io');
    const begun = await beginWrite(host, 3, 512);
    const waiting = await beginWrite(host, 4, 512);
    device.hold();
    host.encoder.hostToControllerData(3, begun, 0, Buffer.alloc(512, 1), true);
    await eventually('the write at the device', () => device.begun === 1);
    // SQID 1: the two writes, and one that there is not; then a queue that there is not, and the Abort itself.
    for (const dword10 of [0x0003_0001, 0x0004_0001, 0x0005_0001, 0x0003_0009, 0x0001_0000]) {
      admin?.encoder.capsuleCommand(commandEntry(AdminOpcode.abort, 1, 0, [dword10], 0));
      const answer = admin && (await nextCompletion(admin));
      expect(answer).toEqual({ commandId: 1, code: Status.success, dword0: 1 });
    }
    device.release();
    host.encoder.hostToControllerData(4, waiting, 0, Buffer.alloc(512, 2), true);
    const completions = [await nextCompletion(host), await nextCompletion(host)];
    expect(completions.map(({ commandId, code }) => [commandId, code])).toEqual([
      [3, Status.success],
      [4, Status.success],
    ]);
  });

  it('ends an asynchronous event request', async () => {
    const { address } = await startTarget(cleanup);
    const { host } = await hostAt(cleanup, address, 'admin');
    host.encoder.capsuleCommand(commandEntry(AdminOpcode.asyncEventRequest, 6, 0, [], 0));
    host.encoder.capsuleCommand(commandEntry(AdminOpcode.abort, 1, 0, [0x0006_0000], 0));
    const completions = [await nextCompletion(host), await nextCompletion(host)];
    expect(completions.toSorted((a, b) => a.commandId - b.commandId)).toEqual([
      { commandId: 1, code: Status.success, dword0: 0 },
      { commandId: 6, code: Status.abortedByRequest, dword0: 0 },
    ]);
  });
});
