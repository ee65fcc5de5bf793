import { afterEach, describe, expect, it } from 'vitest';
import { encodeCompletion, makeCommand, readCommandId } from './nvme/entry.js';
import { IoOpcode } from './nvme/opcodes.js';
import { Status } from './nvme/status.js';
import { FatalErrorStatus as Fes, PduFlag, PduType } from './pdu/constants.js';
import type { PduEncoder } from './pdu/pdu-encoder.js';
import { capsuleEntry, readTermination } from './pdu/pdu.js';
import { type FakeController, fakeLink, type FakeLink, submit } from './test-fake-controller.js';
import { encodedPdus } from './test-staged-host.js';
import { Cleanup, eventually } from './test-support.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

/** Reads take this much; writes send this much, outside the capsule. */
const LENGTH = 16_384;

const plain = (write: (encoder: PduEncoder) => void): Buffer => encodedPdus(false, write);

function completion(commandId: number): Buffer {
  return encodeCompletion({ commandId, status: Status.success, dword0: 0, dword1: 0, sqHead: 0 });
}

function changed(pdu: Buffer, offset: number, value: number): Buffer {
  pdu.writeUInt8(value, offset);
  return pdu;
}

/** C2HData of `length` bytes at an offset. */
const data = (id: number, offset: number, length: number, last = false): Buffer =>
  plain((encoder) =>
    encoder.controllerToHostData(id, offset, Buffer.alloc(length, 3), last, false),
  );
const r2t = (id: number, offset: number, length: number): Buffer =>
  plain((encoder) => encoder.readyToTransfer(id, 1, offset, length));
const response = (id: number): Buffer =>
  plain((encoder) => encoder.capsuleResponse(completion(id)));

interface Fatal {
  readonly what: string;
  readonly command: 'read' | 'write';
  /** PDUs for the command; the last one is at fault. */
  readonly pdus: (id: number) => readonly Buffer[];
  readonly status: number;
  readonly information?: number;
}

const fatal = (
  what: string,
  command: 'read' | 'write',
  status: number,
  information: number,
  pdus: Fatal['pdus'],
): Fatal => ({ what, command, pdus, status, information });

const FATAL: readonly Fatal[] = [
  ...[0x00, 0x02, 0x04, 0x06, 0x08, 0x0a, 0xff].map((type) =>
    fatal(`type ${type}`, 'read', Fes.invalidHeaderField, 0, (id) => [
      changed(response(id), 0, type),
    ]),
  ),
  fatal('HLEN', 'read', Fes.invalidHeaderField, 2, (id) => [changed(response(id), 2, 16)]),
  fatal('PLEN', 'read', Fes.invalidHeaderField, 4, (id) => [changed(response(id), 4, 28)]),
  fatal('PDO', 'read', Fes.invalidHeaderField, 3, (id) => [changed(data(id, 0, 64), 3, 16)]),
  fatal('a digest that was not agreed on', 'read', Fes.invalidHeaderField, 1, (id) => [
    changed(response(id), 1, PduFlag.headerDigest),
  ]),
  fatal('a second ICResp', 'read', Fes.pduSequenceError, 0, () => [
    plain((encoder) =>
      encoder.initializeConnection(PduType.icResp, {
        format: 0,
        alignment: 0,
        headerDigest: false,
        dataDigest: false,
        limit: 4096,
      }),
    ),
  ]),
  fatal('a response to no command', 'read', Fes.invalidHeaderField, 8, (id) => [response(id + 1)]),
  fatal('a second response', 'read', Fes.invalidHeaderField, 8, (id) => [
    data(id, 0, LENGTH, true),
    response(id),
    response(id),
  ]),
  fatal('data of no command', 'read', Fes.invalidHeaderField, 8, (id) => [data(id + 1, 0, 512)]),
  fatal('data of a write', 'write', Fes.pduSequenceError, 0, (id) => [data(id, 0, 512)]),
  fatal('a gap', 'read', Fes.pduSequenceError, 0, (id) => [data(id, 512, 512)]),
  fatal('the same data again', 'read', Fes.pduSequenceError, 0, (id) => [
    data(id, 0, 512),
    data(id, 0, 512),
  ]),
  fatal('data after the last', 'read', Fes.pduSequenceError, 0, (id) => [
    data(id, 0, 512, true),
    data(id, 512, 512),
  ]),
  fatal('data beyond the buffer', 'read', Fes.dataTransferOutOfRange, 0, (id) => [
    data(id, 0, LENGTH + 4, true),
  ]),
  fatal('an offset beyond the buffer', 'read', Fes.dataTransferOutOfRange, 0, (id) => [
    data(id, LENGTH, 4),
  ]),
  fatal('DATAL that is not what PLEN says', 'read', Fes.invalidHeaderField, 16, (id) => {
    const pdu = data(id, 0, 512);
    pdu.writeUInt32LE(508, 16);
    return [pdu];
  }),
  fatal('SUCCESS without LAST_PDU', 'read', Fes.invalidHeaderField, 1, (id) => [
    changed(data(id, 0, LENGTH), 1, PduFlag.success),
  ]),
  fatal('an R2T for a read', 'read', Fes.dataTransferOutOfRange, 0, (id) => [r2t(id, 0, 512)]),
  fatal('an R2T of no command', 'write', Fes.invalidHeaderField, 8, (id) => [r2t(id + 1, 0, 512)]),
  fatal('an R2T beyond the data', 'write', Fes.dataTransferOutOfRange, 0, (id) => [
    r2t(id, 0, LENGTH + 4),
  ]),
  fatal('an R2T of nothing', 'write', Fes.dataTransferOutOfRange, 0, (id) => [r2t(id, 0, 0)]),
  fatal('an R2T with a gap', 'write', Fes.pduSequenceError, 0, (id) => [r2t(id, 512, 512)]),
  fatal('an R2T for the same data', 'write', Fes.pduSequenceError, 0, (id) => [
    r2t(id, 0, 512),
    r2t(id, 0, 512),
  ]),
];

/** The H2CTermReq, the end of the connection on both sides, and the reason that the host gives. */
async function expectTermination(
  { controller, closedFor }: FakeLink,
  status: number,
  information: number,
): Promise<void> {
  const termination = await controller.next(PduType.h2cTermReq);
  expect(readTermination(termination.header)).toEqual({ status, information });
  await eventually('the end of the connection', () => controller.closed);
  expect(closedFor()?.message).toMatch(/the controller broke the protocol/);
}

async function commandId(controller: FakeController): Promise<number> {
  return readCommandId(capsuleEntry((await controller.next(PduType.capsuleCmd)).header));
}

describe('a malformed PDU from the controller', () => {
  it.each(FATAL)('ends the connection: $what ($command)', async (fault) => {
    const link = await fakeLink(cleanup, false);
    await link.controller.initialize(false);
    await link.ready;
    const isRead = fault.command === 'read';
    const outcome = submit(
      link.queue,
      makeCommand(isRead ? IoOpcode.read : IoOpcode.write, 1, [0, 0, LENGTH / 512 - 1]),
      isRead ? { readInto: Buffer.alloc(LENGTH) } : { data: Buffer.alloc(LENGTH) },
    );
    const id = await commandId(link.controller);
    link.controller.write(Buffer.concat(fault.pdus(id)));
    await expectTermination(link, fault.status, fault.information ?? 0);
    // The command has ended one way or the other, and none can come after it.
    expect([outcome.completion, outcome.lost].filter(Boolean)).toHaveLength(1);
    expect(link.queue.hasRoom).toBe(false);
  });

  it.each([
    ['an unknown format version', Fes.invalidHeaderField, 8, 8, 1],
    ['CPDA above 31', Fes.invalidHeaderField, 10, 10, 32],
    ['a digest that was not asked for', Fes.invalidHeaderField, 11, 11, 1],
    ['MAXH2CDATA below 4096', Fes.invalidHeaderField, 12, 13, 8],
    ['a wrong length', Fes.invalidHeaderField, 4, 4, 127],
  ])('ends the handshake: %s', async (_what, status, information, at, value) => {
    const link = await fakeLink(cleanup, false);
    await link.controller.initialize(false, (pdu) => void pdu.writeUInt8(value, at));
    await expectTermination(link, status, information);
    await expect(link.ready).rejects.toThrow(/broke the protocol/);
  });

  it.each(['response', 'data'] as const)('comes before the ICResp: %s', async (what) => {
    const link = await fakeLink(cleanup, false);
    await link.controller.next(PduType.icReq);
    link.controller.write(what === 'response' ? response(0) : data(0, 0, 512));
    await expectTermination(link, Fes.pduSequenceError, 0);
    await expect(link.ready).rejects.toThrow(/broke the protocol/);
  });

  it.each([
    ['a PLEN above 152', 153, 24],
    ['a PLEN below 24', 23, 24],
  ])('is not answered when it is a C2HTermReq: %s', async (_what, pduLength, headerLength) => {
    const link = await fakeLink(cleanup, false);
    await link.controller.initialize(false);
    await link.ready;
    const pdu = Buffer.alloc(pduLength);
    pdu.set([PduType.c2hTermReq, 0, headerLength, 0]);
    pdu.writeUInt32LE(pduLength, 4);
    link.controller.write(pdu);
    await eventually('the end of the connection', () => link.controller.closed);
    expect([link.controller.received, link.closedFor() instanceof Error]).toEqual([[], true]);
  });

  it('has a header digest that does not match', async () => {
    const link = await fakeLink(cleanup, true);
    await link.controller.initialize(true);
    await link.ready;
    const pdu = encodedPdus(true, (encoder) => encoder.capsuleResponse(completion(0)));
    link.controller.write(changed(pdu, 9, 1));
    await expectTermination(link, Fes.headerDigestError, pdu.readUInt32LE(24));
    expect(link.queue.hasRoom).toBe(false);
  });

  it('has a data digest that does not match, which fails its command alone', async () => {
    const link = await fakeLink(cleanup, true);
    await link.controller.initialize(true);
    await link.ready;
    for (const corrupt of [true, false]) {
      const readInto = Buffer.alloc(512);
      const outcome = submit(link.queue, makeCommand(IoOpcode.read, 1, [0, 0, 0]), { readInto });
      const id = await commandId(link.controller);
      const pdu = encodedPdus(true, (encoder) =>
        encoder.controllerToHostData(id, 0, Buffer.alloc(512, 3), true, false),
      );
      const last = pdu.length - 1;
      link.controller.write(changed(pdu, last, pdu.readUInt8(last) ^ (corrupt ? 1 : 0)));
      link.controller.encoder.capsuleResponse(completion(id));
      await eventually('the end of the command', () => outcome.completion !== undefined);
      expect(outcome.completion?.status).toBe(
        corrupt ? Status.transientTransportError : Status.success,
      );
    }
    expect(link.controller.closed).toBe(false);
  });

  it('completes a read whose data has not all come, which fails it', async () => {
    const link = await fakeLink(cleanup, false);
    await link.controller.initialize(false);
    await link.ready;
    const outcome = submit(link.queue, makeCommand(IoOpcode.read, 1, [0, 0, 1]), {
      readInto: Buffer.alloc(1024),
    });
    const id = await commandId(link.controller);
    link.controller.write(Buffer.concat([data(id, 0, 512, true), response(id)]));
    await eventually('the end of the command', () => outcome.completion !== undefined);
    expect(outcome.completion?.status).toBe(Status.transientTransportError);
  });
});
