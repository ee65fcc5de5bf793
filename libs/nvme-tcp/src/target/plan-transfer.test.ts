import { describe, expect, it } from 'vitest';
import { SglType } from '../nvme/entry.js';
import { FABRICS_OPCODE, FabricsCommand, IoOpcode } from '../nvme/opcodes.js';
import { doNotRetry, Status } from '../nvme/status.js';
import { planTransfer } from './plan-transfer.js';

const SGL_FLAGS = 0x40;
const IN_CAPSULE_BYTES = 8192;
const MAX_IO_BYTES = 65_536;

interface Given {
  readonly opcode: number;
  readonly flags?: number;
  readonly fabricsType?: number;
  readonly sglType?: number;
  readonly offset?: number;
  readonly length?: number;
}

/** A submission queue entry: its flags in byte 1, SGL 1 in bytes 24 to 39 (base specification, SGL descriptors). */
function entryOf({ opcode, flags, fabricsType, sglType, offset, length }: Given): Buffer {
  const entry = Buffer.alloc(64);
  entry[0] = opcode;
  entry[1] = flags ?? SGL_FLAGS;
  entry[4] = fabricsType ?? 0;
  entry.writeBigUInt64LE(BigInt(offset ?? 0), 24);
  entry.writeUInt32LE(length ?? 0, 32);
  entry[39] = sglType ?? SglType.transport;
  return entry;
}

const read = IoOpcode.read;
const write = IoOpcode.write;
const { inCapsule } = SglType;
const refused = (status: number): object => ({ kind: 'refuse', status: doNotRetry(status) });

describe('what a command asks to be transferred', () => {
  it.each<[string, Given, object]>([
    ['a read', { opcode: read, length: 4096 }, { kind: 'run', readLength: 4096 }],
    ['a flush', { opcode: IoOpcode.flush, length: 9 }, { kind: 'run', readLength: 0 }],
    ['a write of nothing', { opcode: write }, { kind: 'run', readLength: 0 }],
    ['a write', { opcode: write, length: 4096 }, { kind: 'fetch', length: 4096 }],
    [
      'a write with its data in the capsule',
      { opcode: write, sglType: inCapsule, offset: 512, length: 7680 },
      { kind: 'in-capsule', start: 512, end: 8192 },
    ],
    [
      'a Connect whose flags are 0',
      {
        opcode: FABRICS_OPCODE,
        flags: 0,
        fabricsType: FabricsCommand.connect,
        sglType: inCapsule,
        length: 1024,
      },
      { kind: 'in-capsule', start: 0, end: 1024 },
    ],
    ['a fused command', { opcode: write, flags: 0x41 }, refused(Status.invalidField)],
    ['a command with PRPs', { opcode: read, flags: 0, length: 512 }, refused(Status.invalidField)],
    ['a command with PSDT 11b', { opcode: read, flags: 0xc0 }, refused(Status.invalidField)],
    [
      'a command larger than MDTS',
      { opcode: read, length: MAX_IO_BYTES + 512 },
      refused(Status.invalidField),
    ],
    ['a write of half a dword', { opcode: write, length: 6 }, refused(Status.dataSglLengthInvalid)],
    [
      'data that begins behind the capsule',
      { opcode: write, sglType: inCapsule, offset: 8193 },
      refused(Status.sglOffsetInvalid),
    ],
    [
      'data that ends behind the capsule',
      { opcode: write, sglType: inCapsule, offset: 512, length: 7681 },
      refused(Status.dataSglLengthInvalid),
    ],
    [
      'a read into the capsule',
      { opcode: read, sglType: inCapsule, length: 512 },
      refused(Status.sglDescriptorTypeInvalid),
    ],
    [
      'a transfer with an offset',
      { opcode: read, offset: 1, length: 512 },
      refused(Status.sglDescriptorTypeInvalid),
    ],
    [
      'an SGL of another type',
      { opcode: write, sglType: 0x00, length: 512 },
      refused(Status.sglDescriptorTypeInvalid),
    ],
  ])('%s', (_name, given, plan) => {
    expect(planTransfer(entryOf(given), IN_CAPSULE_BYTES, MAX_IO_BYTES)).toEqual(plan);
  });
});
