import { readFabricsType, readFlags, readOpcode, readSgl, SglType } from '../nvme/entry.js';
import { DataDirection, FABRICS_OPCODE } from '../nvme/opcodes.js';
import { doNotRetry, Status } from '../nvme/status.js';

/** Fused operations are not supported. */
const FLAGS_FUSE = 0x03;
const FLAGS_PSDT = 0xc0;
/** PSDT 01b and 10b; PRPs do not exist over fabrics. */
const PSDT_SGL: ReadonlySet<number> = new Set([0x40, 0x80]);

/** What is to be done before a command can run. Lengths and offsets in bytes. */
export type TransferPlan =
  | { readonly kind: 'refuse'; readonly status: number }
  /** At once; `readLength` is what the host has room for. */
  | { readonly kind: 'run'; readonly readLength: number }
  /** With data that came with the command. */
  | { readonly kind: 'in-capsule'; readonly start: number; readonly end: number }
  /** The host is to send data first. */
  | { readonly kind: 'fetch'; readonly length: number };

const refuse = (status: number): TransferPlan => ({ kind: 'refuse', status: doNotRetry(status) });

/** What a command's flags and SGL ask for. Pure; the rules are those of the base specification, Common Command Format. */
export function planTransfer(
  entry: Buffer,
  inCapsuleBytes: number,
  maxIoSizeBytes: number,
): TransferPlan {
  const opcode = readOpcode(entry);
  const isFabrics = opcode === FABRICS_OPCODE;
  const flags = readFlags(entry);
  // Fabrics commands use SGLs alone, and hosts may leave their flags at 0 (base specification, Fabrics CDW0).
  if (!isFabrics && (flags & FLAGS_FUSE) !== 0) return refuse(Status.invalidField);
  const direction = (isFabrics ? readFabricsType(entry) : opcode) & 0x03;
  // No command moves data both ways: what names itself so is refused before any of its data is asked for.
  if (direction === DataDirection.none || direction === DataDirection.both)
    return { kind: 'run', readLength: 0 };
  if (!isFabrics && !PSDT_SGL.has(flags & FLAGS_PSDT)) return refuse(Status.invalidField);
  const sgl = readSgl(entry);
  const isWrite = direction === DataDirection.hostToController;
  if (sgl.type === SglType.inCapsule && isWrite) {
    const end = sgl.offset + sgl.length;
    if (sgl.offset > inCapsuleBytes) return refuse(Status.sglOffsetInvalid);
    if (end > inCapsuleBytes) return refuse(Status.dataSglLengthInvalid);
    return { kind: 'in-capsule', start: sgl.offset, end };
  }
  if (sgl.type !== SglType.transport || sgl.offset !== 0)
    return refuse(Status.sglDescriptorTypeInvalid);
  // MDTS (base specification, Identify Controller).
  if (sgl.length > maxIoSizeBytes) return refuse(Status.invalidField);
  if (!isWrite || sgl.length === 0) return { kind: 'run', readLength: sgl.length };
  // R2TL and DATAL are multiples of dwords.
  if (sgl.length % 4 !== 0) return refuse(Status.dataSglLengthInvalid);
  return { kind: 'fetch', length: sgl.length };
}
