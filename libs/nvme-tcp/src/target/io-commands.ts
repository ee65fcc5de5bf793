import type { BlockDevice } from '../block-device.js';
import { statusOfBlockError } from '../nvme/block-status.js';
import { readCdw, readNsid, readOpcode, readStartingLba, readU64 } from '../nvme/entry.js';
import { AnaState } from '../nvme/log-page.js';
import { IoOpcode } from '../nvme/opcodes.js';
import { doNotRetry, type NvmeStatus, Status } from '../nvme/status.js';
import { type CommandOutcome, type CommandResult, SUCCESS, type TargetCommand } from './command.js';
import type { InFlight } from './in-flight.js';
import type { TargetNamespace } from './namespace.js';
import {
  executeReservation,
  isReservationOpcode,
  type ReservationScope,
} from './reservation-commands.js';

/** What I/O commands need of their controller. */
export interface IoContext extends ReservationScope {
  readonly maxIoSizeBytes: number;
  /** False when the host has turned the volatile write cache off: each write is then flushed. */
  readonly writeCache: boolean;
  namespace(nsid: number): TargetNamespace | undefined;
  anaState(namespace: TargetNamespace): AnaState;
}

const READING: ReadonlySet<number> = new Set([IoOpcode.read, IoOpcode.compare, IoOpcode.verify]);
const FORCE_UNIT_ACCESS = 0x4000_0000;
const DSM_DEALLOCATE = 0x04;
const DSM_RANGE_LENGTH = 16;

const ANA_STATUS: ReadonlyMap<AnaState, NvmeStatus> = new Map<AnaState, NvmeStatus>([
  [AnaState.inaccessible, Status.anaInaccessible],
  [AnaState.persistentLoss, doNotRetry(Status.anaPersistentLoss)],
  [AnaState.change, Status.anaTransition],
]);

const failed = (status: NvmeStatus): CommandResult => ({ status: doNotRetry(status) });

/** The queue that a command came by; its in-flight counts are what a fence waits for. */
export interface IoQueue {
  readonly isClosed: boolean;
  readonly inFlight: InFlight;
  readonly reservationsInFlight: InFlight;
}

/** Runs one I/O command. */
export function executeIo(
  context: IoContext,
  command: TargetCommand,
  queue: IoQueue,
): CommandOutcome {
  const namespace = context.namespace(readNsid(command.entry));
  if (namespace === undefined) return failed(Status.invalidNamespace);
  const anaStatus = ANA_STATUS.get(context.anaState(namespace));
  if (anaStatus !== undefined) return { status: anaStatus };
  const { reservations } = namespace;
  if (!reservations.isReady) return whenReady(context, namespace, command, queue);
  const opcode = readOpcode(command.entry);
  if (isReservationOpcode(opcode)) return executeReservation(context, namespace, command, queue);
  if (!reservations.permits(context.hostIdHex, opcode)) return failed(Status.reservationConflict);
  const work = start(context, namespace, command);
  if (!(work instanceof Promise)) return work;
  const ofQueue = queue.inFlight.begin();
  const ofNamespace = namespace.inFlight.begin();
  const isRead = READING.has(opcode);
  const ended = (result: CommandResult): CommandResult => {
    ofQueue.end();
    ofNamespace.end();
    return result;
  };
  return work.then(ended, (error: unknown) => ended({ status: statusOfBlockError(error, isRead) }));
}

/** The command anew, once it is known what the reservations allow; the namespace may be gone by then. */
async function whenReady(
  context: IoContext,
  namespace: TargetNamespace,
  command: TargetCommand,
  queue: IoQueue,
): Promise<CommandResult> {
  const waiting = queue.reservationsInFlight.begin();
  try {
    try {
      await namespace.reservations.ready();
    } catch {
      // The store is read again by the next command; until it can be, no access is safe.
      return { status: Status.namespaceNotReady };
    }
    if (queue.isClosed) return { status: Status.abortedSqDeletion };
    return await executeIo(context, command, queue);
  } finally {
    waiting.end();
  }
}

function start(
  context: IoContext,
  namespace: TargetNamespace,
  command: TargetCommand,
): CommandOutcome {
  const { device } = namespace;
  const { entry } = command;
  switch (readOpcode(entry)) {
    case IoOpcode.flush:
      return device.flush().then(() => SUCCESS);
    case IoOpcode.datasetManagement:
      return deallocate(namespace, command);
    case IoOpcode.read:
    case IoOpcode.write:
    case IoOpcode.compare:
    case IoOpcode.writeZeroes:
    case IoOpcode.verify:
      break;
    default:
      return failed(Status.invalidOpcode);
  }
  const blocks = (readCdw(entry, 12) & 0xffff) + 1;
  const startBlock = readStartingLba(entry);
  if (startBlock + blocks > namespace.sizeBlocks) return failed(Status.lbaOutOfRange);
  const offsetBytes = startBlock * device.blockSizeBytes;
  const lengthBytes = blocks * device.blockSizeBytes;
  const forceUnitAccess = (readCdw(entry, 12) & FORCE_UNIT_ACCESS) !== 0;
  const durable = forceUnitAccess || !context.writeCache;
  if (readOpcode(entry) === IoOpcode.writeZeroes) {
    // MDTS does not apply: no data is transferred. With DEAC too the blocks must read as zeros, which a device's
    // unmap does not promise; whether it gives the space back is up to its writeZeroes.
    return thenFlush(device, device.writeZeroes(offsetBytes, lengthBytes), durable);
  }
  if (readOpcode(entry) === IoOpcode.verify)
    return verify(device, offsetBytes, lengthBytes, context.maxIoSizeBytes);
  if (lengthBytes > context.maxIoSizeBytes) return failed(Status.invalidField);
  if (readOpcode(entry) === IoOpcode.read) {
    if (command.readLength < lengthBytes) return failed(Status.dataSglLengthInvalid);
    const read = (): Promise<CommandResult> =>
      device.read(offsetBytes, lengthBytes).then((data) => ({ status: Status.success, data }));
    return forceUnitAccess ? device.flush().then(read) : read();
  }
  if (command.data === undefined || command.data.length < lengthBytes)
    return failed(Status.dataSglLengthInvalid);
  const data =
    command.data.length === lengthBytes ? command.data : command.data.subarray(0, lengthBytes);
  if (readOpcode(entry) === IoOpcode.compare) {
    return device
      .read(offsetBytes, lengthBytes)
      .then((stored) => (stored.equals(data) ? SUCCESS : failed(Status.compareFailure)));
  }
  return thenFlush(device, device.write(offsetBytes, data), durable);
}

/** Part by part, so that a command without data cannot make the target hold more than one transfer's worth. */
async function verify(
  device: BlockDevice,
  offsetBytes: number,
  lengthBytes: number,
  partBytes: number,
): Promise<CommandResult> {
  await device.flush();
  for (let done = 0; done < lengthBytes; done += partBytes)
    await device.read(offsetBytes + done, Math.min(partBytes, lengthBytes - done));
  return SUCCESS;
}

function thenFlush(
  device: BlockDevice,
  write: Promise<void>,
  durable: boolean,
): Promise<CommandResult> {
  return durable ? write.then(() => device.flush()).then(() => SUCCESS) : write.then(() => SUCCESS);
}

function deallocate(namespace: TargetNamespace, command: TargetCommand): CommandOutcome {
  const { device } = namespace;
  const count = (readCdw(command.entry, 10) & 0xff) + 1;
  const data = command.data;
  // Some hosts always send 256 ranges' worth of bytes, so more than `count` ranges is no error.
  if (data === undefined || data.length < count * DSM_RANGE_LENGTH)
    return failed(Status.dataSglLengthInvalid);
  if ((readCdw(command.entry, 11) & DSM_DEALLOCATE) === 0) return SUCCESS;
  const ranges: { readonly offsetBytes: number; readonly lengthBytes: number }[] = [];
  for (let index = 0; index < count; index += 1) {
    const blocks = data.readUInt32LE(index * DSM_RANGE_LENGTH + 4);
    const startBlock = readU64(data, index * DSM_RANGE_LENGTH + 8);
    if (startBlock + blocks > namespace.sizeBlocks) return failed(Status.lbaOutOfRange);
    if (blocks === 0) continue;
    ranges.push({
      offsetBytes: startBlock * device.blockSizeBytes,
      lengthBytes: blocks * device.blockSizeBytes,
    });
  }
  return unmapAll(device, ranges);
}

async function unmapAll(
  device: BlockDevice,
  ranges: readonly { readonly offsetBytes: number; readonly lengthBytes: number }[],
): Promise<CommandResult> {
  // All must have settled before the command counts as ended: a fence relies on it.
  const outcomes = await Promise.allSettled(
    ranges.map((range) => device.unmap(range.offsetBytes, range.lengthBytes)),
  );
  const rejected = outcomes.find((outcome) => outcome.status === 'rejected');
  return rejected === undefined ? SUCCESS : { status: statusOfBlockError(rejected.reason, false) };
}
