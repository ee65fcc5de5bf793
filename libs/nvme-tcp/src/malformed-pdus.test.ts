import { afterEach, describe, expect, it } from 'vitest';
import { makeCommand, setCommandId, setSgl, SglType } from './nvme/entry.js';
import { IoOpcode } from './nvme/opcodes.js';
import { Status } from './nvme/status.js';
import { FatalErrorStatus as Fes, PduFlag, PduType } from './pdu/constants.js';
import { crc32cOf } from './pdu/digest.js';
import type { PduEncoder } from './pdu/pdu-encoder.js';
import { readTermination } from './pdu/pdu.js';
import { MAX_H2C_DATA_BYTES } from './target/options.js';
import {
  beginWrite,
  commandEntry,
  encodedPdus,
  hostAt,
  nextCompletion,
  type Stage,
} from './test-staged-host.js';
import {
  Cleanup,
  connectHost,
  eventually,
  onlyNamespace,
  type RawHost,
  startTarget,
} from './test-support.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

interface Fatal {
  readonly what: string;
  readonly stage: Stage;
  /** The PDU at fault; what comes before it may be sent here. */
  readonly bytes: (host: RawHost) => Promise<Buffer> | Buffer;
  readonly status: number;
  /** FEI; 0 where it is reserved. */
  readonly information?: number;
}

function changed(pdu: Buffer, offset: number, value: number): Buffer {
  pdu.writeUInt8(value, offset);
  return pdu;
}

const plain = (write: (encoder: PduEncoder) => void): Buffer => encodedPdus(false, write);

function initialize(change: (pdu: Buffer) => void = () => undefined): Buffer {
  const pdu = plain((encoder) =>
    encoder.initializeConnection(PduType.icReq, {
      format: 0,
      alignment: 0,
      headerDigest: false,
      dataDigest: false,
      limit: 0,
    }),
  );
  change(pdu);
  return pdu;
}

const capsule = (dataLength = 0): Buffer =>
  plain((encoder) =>
    encoder.capsuleCommand(
      commandEntry(IoOpcode.read, 1, 512),
      dataLength === 0 ? undefined : Buffer.alloc(dataLength),
    ),
  );

const data = (
  tag: number,
  fields: {
    readonly commandId?: number;
    readonly offset?: number;
    readonly length?: number;
    readonly last?: boolean;
  } = {},
): Buffer =>
  plain((encoder) =>
    encoder.hostToControllerData(
      fields.commandId ?? 1,
      tag,
      fields.offset ?? 0,
      Buffer.alloc(fields.length ?? 4096),
      fields.last ?? false,
    ),
  );

/** H2CData for a write of 8 KiB with command id 1. */
const ofWrite =
  (fields: Parameters<typeof data>[1], change: (pdu: Buffer) => void = () => undefined) =>
  async (host: RawHost): Promise<Buffer> => {
    const pdu = data(await beginWrite(host, 1, 8192), fields);
    change(pdu);
    return pdu;
  };

const NO_ICREQ: readonly Fatal[] = [
  ['a command', capsule()],
  ['data', data(0)],
].map(([what, bytes]) => ({
  what: `${String(what)} before ICReq`,
  stage: 'open',
  bytes: () => Buffer.from(bytes as Buffer),
  status: Fes.pduSequenceError,
}));

/** Types that go from controller to host, and reserved ones. */
const WRONG_TYPES: readonly Fatal[] = [0x01, 0x03, 0x05, 0x07, 0x08, 0x09, 0x0a, 0x7f, 0xff].map(
  (type) => ({
    what: `type ${type}`,
    stage: 'io',
    bytes: () => changed(capsule(), 0, type),
    status: Fes.invalidHeaderField,
    information: 0,
  }),
);

const header = (what: string, stage: Stage, information: number, bytes: Fatal['bytes']): Fatal => ({
  what,
  stage,
  bytes,
  status: Fes.invalidHeaderField,
  information,
});

const ICREQ: readonly Fatal[] = [
  {
    what: 'a second ICReq',
    stage: 'initialized',
    bytes: () => initialize(),
    status: Fes.pduSequenceError,
  },
  {
    what: 'an ICReq on a queue',
    stage: 'io',
    bytes: () => initialize(),
    status: Fes.pduSequenceError,
  },
  {
    what: 'an unknown format version',
    stage: 'open',
    bytes: () => initialize((pdu) => pdu.writeUInt16LE(1, 8)),
    status: Fes.unsupportedParameter,
    information: 8,
  },
  header('HPDA above 31', 'open', 10, () => initialize((pdu) => pdu.writeUInt8(32, 10))),
  header('HLEN of an ICReq', 'open', 2, () => initialize((pdu) => pdu.writeUInt8(127, 2))),
  header('PLEN of an ICReq', 'open', 4, () => initialize((pdu) => pdu.writeUInt32LE(127, 4))),
  header('an ICReq with data', 'open', 4, () => initialize((pdu) => pdu.writeUInt32LE(192, 4))),
];

const CAPSULES: readonly Fatal[] = [
  header('HLEN of a capsule, too small', 'io', 2, () => changed(capsule(), 2, 64)),
  header('HLEN of a capsule, too large', 'io', 2, () => changed(capsule(), 2, 76)),
  header('PLEN 0', 'io', 4, () => changed(capsule(), 4, 0)),
  header('PLEN below HLEN', 'io', 4, () => changed(capsule(), 4, 71)),
  header('PLEN of 4 GiB', 'io', 4, () => {
    const pdu = changed(capsule(), 3, 72);
    pdu.writeUInt32LE(0xffff_ffff, 4);
    return pdu;
  }),
  header('PDO 0 with data', 'io', 3, () => changed(capsule(64), 3, 0)),
  header('PDO within the header', 'io', 3, () => changed(capsule(64), 3, 68)),
  header('PDO of no dword', 'io', 3, () => changed(capsule(64), 3, 74)),
  header('PDO above the largest alignment', 'io', 3, () => changed(capsule(512), 3, 132)),
  header('PDO at the end of the PDU', 'io', 4, () => changed(capsule(8), 3, 80)),
  header('in-capsule data beyond what any queue takes', 'admin', 4, () => capsule(8196)),
  header('a header digest that was not agreed on', 'io', 1, () =>
    changed(capsule(), 1, PduFlag.headerDigest),
  ),
  header('a data digest that was not agreed on', 'io', 1, () =>
    changed(capsule(64), 1, PduFlag.dataDigest),
  ),
  header('no header digest where it was agreed on', 'io with digests', 1, () => capsule()),
  header('no data digest where it was agreed on', 'io with digests', 1, () => {
    const pdu = encodedPdus(true, (encoder) =>
      encoder.capsuleCommand(commandEntry(IoOpcode.write, 1, 512), Buffer.alloc(512)),
    );
    return changed(pdu, 1, PduFlag.headerDigest);
  }),
  header('the lowest of several fields', 'io', 1, () =>
    changed(changed(capsule(), 2, 1), 1, PduFlag.headerDigest),
  ),
];

const DATA: readonly Fatal[] = [
  header('data that nobody asked for', 'io', 10, () => data(7)),
  header('an unknown transfer tag', 'io', 10, async (host) =>
    data((await beginWrite(host, 1, 8192)) ^ 0x100),
  ),
  header('the tag of a transfer that has ended', 'io', 10, async (host) => {
    const tag = await beginWrite(host, 1, 8192);
    host.write(data(tag, { length: 8192, last: true }));
    await nextCompletion(host);
    return data(tag, { length: 8192, last: true });
  }),
  header('a command that the tag is not of', 'io', 8, ofWrite({ commandId: 2 })),
  header(
    'DATAL that is not what PLEN says',
    'io',
    16,
    ofWrite({}, (pdu) => pdu.writeUInt32LE(8, 16)),
  ),
  header('DATAL of no dword', 'io', 16, ofWrite({ length: 510 })),
  header('DATAO of no dword', 'io', 12, ofWrite({ offset: 2, length: 512 })),
  header('no data', 'io', 4, ofWrite({ length: 0 })),
  header(
    'HLEN of H2CData',
    'io',
    2,
    ofWrite({}, (pdu) => pdu.writeUInt8(20, 2)),
  ),
  header('LAST_PDU too early', 'io', 1, ofWrite({ last: true })),
  header('no LAST_PDU at the end', 'io', 1, ofWrite({ length: 8192 })),
  {
    what: 'a gap',
    stage: 'io',
    bytes: ofWrite({ offset: 4096, last: true }),
    status: Fes.pduSequenceError,
  },
  {
    what: 'data that has come already',
    stage: 'io',
    bytes: async (host) => {
      const tag = await beginWrite(host, 1, 8192);
      host.write(data(tag));
      return data(tag);
    },
    status: Fes.pduSequenceError,
  },
  {
    what: 'data beyond what was asked for',
    stage: 'io',
    bytes: ofWrite({ length: 8196, last: true }),
    status: Fes.dataTransferOutOfRange,
  },
  {
    what: 'an offset beyond what was asked for',
    stage: 'io',
    bytes: ofWrite({ offset: 8192, length: 4, last: true }),
    status: Fes.dataTransferOutOfRange,
  },
  {
    what: 'an offset near 2^32',
    stage: 'io',
    bytes: ofWrite({ offset: 0xffff_fffc, length: 4, last: true }),
    status: Fes.dataTransferOutOfRange,
  },
  {
    what: 'more data than MAXH2CDATA',
    stage: 'io',
    bytes: (host) => ofWrite({ length: MAX_H2C_DATA_BYTES + 4 })(host),
    status: Fes.limitExceeded,
  },
];

const QUEUES: readonly Fatal[] = [
  {
    what: 'a command beyond the one that a connection without a queue takes',
    stage: 'initialized',
    bytes: async (host) => {
      await beginWrite(host, 1, 4096);
      return plain((encoder) => encoder.capsuleCommand(commandEntry(IoOpcode.write, 2, 4096)));
    },
    status: Fes.pduSequenceError,
  },
  {
    what: 'more commands than the queue has entries',
    stage: 'io',
    bytes: async (host) => {
      for (let id = 1; id <= 8; id += 1) await beginWrite(host, id, 512);
      return plain((encoder) => encoder.capsuleCommand(commandEntry(IoOpcode.flush, 9, 0)));
    },
    status: Fes.pduSequenceError,
  },
];

const headerDigestCase = (): Fatal => {
  const pdu = encodedPdus(true, (encoder) =>
    encoder.capsuleCommand(commandEntry(IoOpcode.flush, 1, 0)),
  );
  pdu.writeUInt8(pdu.readUInt8(40) ^ 1, 40);
  return {
    what: 'a header digest that does not match',
    stage: 'io with digests',
    bytes: () => Buffer.from(pdu),
    status: Fes.headerDigestError,
    information: pdu.readUInt32LE(72),
  };
};

const FATAL: readonly Fatal[] = [
  ...NO_ICREQ,
  ...WRONG_TYPES,
  ...ICREQ,
  ...CAPSULES,
  ...DATA,
  ...QUEUES,
  headerDigestCase(),
];

/** Checks the C2HTermReq, and that the connection ends although this side does not close it. */
async function expectTermination(host: RawHost, fault: Fatal, sent: Buffer): Promise<void> {
  const { header: got, data: echo } = await host.next(PduType.c2hTermReq);
  expect(readTermination(got)).toEqual({
    status: fault.status,
    information: fault.information ?? 0,
  });
  // The header of the PDU at fault, or as much of it as was looked at.
  const echoed = echo ?? Buffer.alloc(0);
  expect(echoed.length).toBeGreaterThanOrEqual(8);
  expect(echoed.equals(sent.subarray(0, echoed.length))).toBe(true);
  await eventually('the end of the connection', () => host.closed);
}

describe('a malformed PDU', () => {
  it.each(FATAL)('ends the connection: $what ($stage)', async (fault) => {
    const { address, subsystem } = await startTarget(cleanup);
    const good = onlyNamespace(await connectHost(cleanup, address));
    for (const pieces of ['whole', 'byte by byte'] as const) {
      const { host, admin } = await hostAt(cleanup, address, fault.stage);
      const sent = await fault.bytes(host);
      if (pieces === 'whole') host.write(sent);
      else {
        for (const byte of sent.subarray(0, 200)) host.write(Buffer.of(byte));
        host.write(sent.subarray(200));
      }
      await expectTermination(host, fault, sent);
      // What comes after it is neither answered nor carried out.
      expect(host.received).toEqual([]);
      // The admin connection of an I/O queue goes on.
      expect(admin?.closed ?? false).toBe(admin === host);
      admin?.destroy();
    }
    const block = Buffer.alloc(512, 9);
    await good.write(0, block);
    expect((await good.read(0, 512)).equals(block)).toBe(true);
    await eventually('the end of its controllers', () => subsystem.controllers().length === 1);
  });

  it.each([
    ['a PLEN above 152', 153, 24],
    ['a PLEN below 24', 23, 24],
    ['a HLEN that is none', 24, 25],
  ])('is not answered when it is an H2CTermReq: %s', async (_what, pduLength, headerLength) => {
    const { address } = await startTarget(cleanup);
    for (const stage of ['open', 'initialized', 'io'] as const) {
      const { host } = await hostAt(cleanup, address, stage);
      const pdu = Buffer.alloc(pduLength);
      pdu.set([PduType.h2cTermReq, 0, headerLength, 0]);
      pdu.writeUInt32LE(pduLength, 4);
      pdu.writeUInt8(1, 8);
      host.write(pdu);
      await eventually('the end of the connection', () => host.closed);
      expect(host.received).toEqual([]);
    }
  });

  it('of data that a limit of the queue forbids ends the connection', async () => {
    const { address } = await startTarget(cleanup, { target: { inCapsuleDataBytes: 4096 } });
    const send = (host: RawHost, length: number): void => {
      const entry = makeCommand(IoOpcode.write, 1, [0, 0, length / 512 - 1]);
      setCommandId(entry, 1);
      setSgl(entry, SglType.inCapsule, length);
      host.encoder.capsuleCommand(entry, Buffer.alloc(length));
    };
    const { host } = await hostAt(cleanup, address, 'io');
    send(host, 4096);
    expect((await nextCompletion(host)).code).toBe(Status.success);
    send(host, 4608);
    const termination = readTermination((await host.next(PduType.c2hTermReq)).header);
    expect(termination).toEqual({ status: Fes.invalidHeaderField, information: 4 });
    await eventually('the end of the connection', () => host.closed);
    // The admin queue takes 8192 bytes whatever IOCCSZ says; there is no write on it.
    const { host: admin } = await hostAt(cleanup, address, 'admin');
    send(admin, 8192);
    expect((await nextCompletion(admin)).code).toBe(Status.invalidOpcode);
    expect(admin.closed).toBe(false);
  });
});

describe('a data digest that does not match', () => {
  const corrupt = (write: (encoder: PduEncoder) => void): Buffer => {
    const pdu = encodedPdus(true, write);
    return changed(pdu, pdu.length - 1, pdu.readUInt8(pdu.length - 1) ^ 0x80);
  };

  it('fails the command that came in a capsule, and nothing else', async () => {
    const { address, device } = await startTarget(cleanup);
    const { host } = await hostAt(cleanup, address, 'io with digests');
    const entry = commandEntry(IoOpcode.write, 1, 512, [0, 0, 0]);
    setSgl(entry, SglType.inCapsule, 512);
    host.write(corrupt((encoder) => encoder.capsuleCommand(entry, Buffer.alloc(512, 5))));
    expect(await nextCompletion(host)).toMatchObject({
      commandId: 1,
      code: Status.transientTransportError,
    });
    expect((await device.read(0, 512)).every((byte) => byte === 0)).toBe(true);
    host.encoder.capsuleCommand(entry, Buffer.alloc(512, 5));
    expect((await nextCompletion(host)).code).toBe(Status.success);
    expect((await device.read(0, 512)).every((byte) => byte === 5)).toBe(true);
  });

  it.each([0, 1])(
    'fails the command whose data PDU %i it is in, when all have come',
    async (bad) => {
      const { address, device } = await startTarget(cleanup);
      const { host } = await hostAt(cleanup, address, 'io with digests');
      const send = (tag: number, faulty: number): void => {
        for (const index of [0, 1]) {
          const write = (encoder: PduEncoder): void =>
            encoder.hostToControllerData(1, tag, index * 512, Buffer.alloc(512, 7), index === 1);
          host.write(index === faulty ? corrupt(write) : encodedPdus(true, write));
        }
      };
      send(await beginWrite(host, 1, 1024), bad);
      expect(await nextCompletion(host)).toMatchObject({
        commandId: 1,
        code: Status.transientTransportError,
      });
      expect((await device.read(0, 1024)).every((byte) => byte === 0)).toBe(true);
      send(await beginWrite(host, 1, 1024), -1);
      expect((await nextCompletion(host)).code).toBe(Status.success);
      expect((await device.read(0, 1024)).every((byte) => byte === 7)).toBe(true);
    },
  );

  it('is CRC32C, as the test takes it to be', () => {
    const pdu = encodedPdus(true, (encoder) =>
      encoder.capsuleCommand(commandEntry(IoOpcode.flush, 1, 0)),
    );
    expect(pdu.readUInt32LE(72)).toBe(crc32cOf(pdu.subarray(0, 72)));
  });
});
