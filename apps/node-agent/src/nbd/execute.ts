import { BlockIoError, BlockIoFailure } from '@lariat/nvme-tcp';
import type { ByteDevice } from './byte-device.js';
import { CommandFlag, MAX_PAYLOAD_BYTES, NbdCommand, NbdError } from './protocol.js';
import { Unwanted } from './range-lock.js';
import type { NbdRequest } from './session.js';

export type NbdOutcome =
  | { readonly error: typeof NbdError.none; readonly data?: Buffer }
  | { readonly error: Exclude<NbdError, 0>; readonly cause?: unknown };

const DONE: NbdOutcome = { error: NbdError.none };

const WRITES: ReadonlySet<number> = new Set([
  NbdCommand.write,
  NbdCommand.trim,
  NbdCommand.writeZeroes,
]);

/**
 * Carries out one request; never throws, since every request has an answer. One that is not wanted any more when its turn
 * comes is not begun.
 */
export async function execute(
  device: ByteDevice,
  request: NbdRequest,
  isWanted: () => boolean,
): Promise<NbdOutcome> {
  const { type, flags, offsetBytes, lengthBytes } = request;
  const refused = refusalOf(device, request);
  if (refused !== undefined) return { error: refused };
  try {
    switch (type) {
      case NbdCommand.read:
        return { error: NbdError.none, data: await device.read(offsetBytes, lengthBytes) };
      case NbdCommand.write:
        await device.write(offsetBytes, request.payload, isWanted);
        break;
      case NbdCommand.trim:
        await device.trim(offsetBytes, lengthBytes, isWanted);
        break;
      case NbdCommand.writeZeroes:
        await device.writeZeroes(offsetBytes, lengthBytes, isWanted);
        break;
      case NbdCommand.flush:
        await device.flush();
        return DONE;
      default:
        return { error: NbdError.invalid };
    }
    if ((flags & CommandFlag.fua) !== 0) await device.flush();
    return DONE;
  } catch (cause) {
    if (cause instanceof Unwanted) return { error: NbdError.io };
    return { error: errorOf(cause), cause };
  }
}

function refusalOf(device: ByteDevice, request: NbdRequest): Exclude<NbdError, 0> | undefined {
  const { type, flags, offsetBytes, lengthBytes } = request;
  const allowed =
    type === NbdCommand.writeZeroes ? CommandFlag.fua | CommandFlag.noHole : CommandFlag.fua;
  if ((flags & ~allowed) !== 0) return NbdError.invalid;
  if (type === NbdCommand.flush) return undefined;
  if (type !== NbdCommand.read && !WRITES.has(type)) return NbdError.invalid;
  if (lengthBytes === 0) return NbdError.invalid;
  if (offsetBytes + lengthBytes > device.sizeBytes) {
    // proto.md: a write past the end is ENOSPC, a read past it EINVAL.
    return type === NbdCommand.read ? NbdError.invalid : NbdError.noSpace;
  }
  if (type === NbdCommand.read && lengthBytes > MAX_PAYLOAD_BYTES) return NbdError.invalid;
  return undefined;
}

function errorOf(cause: unknown): Exclude<NbdError, 0> {
  if (!(cause instanceof BlockIoError)) return NbdError.io;
  switch (cause.failure) {
    case BlockIoFailure.noSpace:
      return NbdError.noSpace;
    case BlockIoFailure.outOfRange:
      return NbdError.invalid;
    case BlockIoFailure.gone:
    case BlockIoFailure.aborted:
    case BlockIoFailure.readOnly:
    case BlockIoFailure.media:
      return NbdError.io;
  }
}
