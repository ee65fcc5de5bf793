import type { Socket } from 'node:net';
import {
  capsuleEntry,
  type Pdu,
  readInitializeConnection,
  readTermination,
  readTransferHeader,
} from '../pdu/pdu.js';
import {
  ADMIN_IN_CAPSULE_MAX,
  DATA_ALIGNMENT_MAX,
  FatalErrorStatus,
  PduField,
  PduFlag,
  PduType,
} from '../pdu/constants.js';
import { PduEncoder } from '../pdu/pdu-encoder.js';
import { PduError } from '../pdu/pdu-error.js';
import { PduParser, type PduSink } from '../pdu/pdu-parser.js';
import { controllerRules } from '../pdu/pdu-rules.js';
import { SocketOutput } from '../pdu/socket-output.js';
import {
  encodeCompletion,
  readCommandId,
  readFabricsType,
  readNsid,
  readOpcode,
} from '../nvme/entry.js';
import { FABRICS_OPCODE, FabricsCommand } from '../nvme/opcodes.js';
import { doNotRetry, Status } from '../nvme/status.js';
import type { CommandOutcome, CommandResult, TargetCommand } from './command.js';
import type { TargetController } from './controller.js';
import { HostTransfers } from './host-transfers.js';
import { InFlight } from './in-flight.js';
import type { ListenPort } from './listen-port.js';
import { MAX_H2C_DATA_BYTES, type TargetLimits } from './options.js';
import { planTransfer } from './plan-transfer.js';
import type { QueueInfo } from './subsystem-types.js';
import type { TransferMemory } from './transfer-memory.js';

/** What a Connect command made of the connection. */
export interface QueueAttachment {
  readonly controller: TargetController;
  readonly queueId: number;
  readonly sizeEntries: number;
  /** The host asked for no SQ flow control: C2HData may carry the SUCCESS flag. */
  readonly flowControlDisabled: boolean;
}

export type ConnectHandler = (
  connection: TargetConnection,
  command: TargetCommand,
) => Promise<CommandResult>;

/** Time for the peer to read a C2HTermReq before the connection is cut (transport spec section 3.5). */
const TERMINATE_GRACE_MS = 1000;

/**
 * With more answers than this that the host does not read, none of its commands begins. It is what a full queue of the
 * largest reads brings, unless limits are set otherwise, so a host that does read them is not slowed down.
 */
const MAX_UNSENT_BYTES = 16 << 20;

/** One TCP connection from a host: first the PDU handshake, then a Connect, then the commands of one queue. */
export class TargetConnection implements PduSink {
  readonly port: ListenPort;
  /** Device commands of this queue that run, also after it has closed. */
  readonly inFlight = new InFlight();
  /** Reservation commands, which may wait for the device commands of other hosts; so those must not wait for them. */
  readonly reservationsInFlight = new InFlight();
  private readonly socket: Socket;
  private readonly limits: TargetLimits;
  private readonly connect: ConnectHandler;
  private readonly parser: PduParser;
  private readonly output: SocketOutput;
  private readonly encoder: PduEncoder;
  private readonly transfers: HostTransfers;
  private readonly outstanding = new Set<number>();
  /** Commands that wait until the host has read earlier answers. */
  private readonly held: Pdu[] = [];
  private readonly associationTimer: NodeJS.Timeout;
  private initialized = false;
  private queue: QueueAttachment | undefined;
  private sqHead = 0;
  private closed = false;

  constructor(
    socket: Socket,
    port: ListenPort,
    limits: TargetLimits,
    memory: TransferMemory,
    connect: ConnectHandler,
  ) {
    this.socket = socket;
    this.port = port;
    this.limits = limits;
    this.connect = connect;
    this.transfers = new HostTransfers(memory);
    this.parser = new PduParser(
      controllerRules(
        Math.max(ADMIN_IN_CAPSULE_MAX, limits.inCapsuleDataBytes),
        MAX_H2C_DATA_BYTES,
      ),
      this,
    );
    this.output = new SocketOutput(socket);
    this.encoder = new PduEncoder(this.output.write);
    this.associationTimer = setTimeout(() => this.close(), limits.associationTimeoutMs);
    this.associationTimer.unref();
    socket.on('data', (chunk: Buffer) => this.take(chunk));
    socket.on('drain', () => this.guard(() => this.beginHeld()));
    socket.once('close', () => this.close());
    // 'close' follows every error; a host that went away is no error of the target.
    socket.on('error', () => this.close());
  }

  get isClosed(): boolean {
    return this.closed;
  }

  get isAttached(): boolean {
    return this.queue !== undefined;
  }

  attach(queue: QueueAttachment): void {
    this.queue = queue;
    clearTimeout(this.associationTimer);
  }

  info(): QueueInfo {
    return {
      queueId: this.queue?.queueId ?? 0,
      sizeEntries: this.queue?.sizeEntries ?? 0,
      outstanding: this.outstanding.size,
      state: this.closed ? 'closed' : 'active',
      listenAddress: this.port.address,
      peerAddress: {
        traddr: this.socket.remoteAddress ?? '',
        trsvcid: String(this.socket.remotePort ?? ''),
      },
    };
  }

  /** From now on no command begins, and nothing is sent. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    clearTimeout(this.associationTimer);
    this.parser.stop();
    this.output.close();
    this.transfers.clear();
    this.held.length = 0;
    this.socket.destroy();
    this.queue?.controller.connectionClosed(this);
  }

  /** Resolves when no command of this queue runs; it must be closed. */
  async drained(): Promise<void> {
    await Promise.all([this.inFlight.drained(), this.reservationsInFlight.drained()]);
  }

  abortWaiting(nsid: number): void {
    if (this.queue === undefined || this.queue.queueId === 0) return;
    this.transfers.abort((entry) => readNsid(entry) === nsid);
  }

  place(type: PduType, header: Buffer, length: number): Buffer | undefined {
    this.requireInitialized();
    if (type === PduType.h2cData) return this.transfers.place(readTransferHeader(header), length);
    return undefined;
  }

  receive(pdu: Pdu): void {
    switch (pdu.type) {
      case PduType.icReq:
        return this.initialize(pdu);
      case PduType.capsuleCmd:
        return this.command(pdu);
      case PduType.h2cData:
        return this.hostData(pdu);
      case PduType.h2cTermReq:
        readTermination(pdu.header);
        return this.close();
      case PduType.icResp:
      case PduType.c2hTermReq:
      case PduType.capsuleResp:
      case PduType.c2hData:
      case PduType.r2t:
        throw new PduError(
          FatalErrorStatus.invalidHeaderField,
          PduField.type,
          'a controller receives no such PDU',
        );
    }
  }

  private take(chunk: Buffer): void {
    this.guard(() => this.parser.push(chunk));
  }

  private guard(step: () => void): void {
    try {
      step();
    } catch (error) {
      // A malformed H2CTermReq is not answered (transport spec section 3.5).
      const isTermReq = error instanceof PduError && error.header?.[0] === PduType.h2cTermReq;
      if (error instanceof PduError && !isTermReq) this.terminate(error);
      else this.close();
    }
  }

  private terminate(error: PduError): void {
    if (this.closed) return;
    this.encoder.terminate(PduType.c2hTermReq, error);
    this.output.flush();
    this.output.close();
    this.parser.stop();
    this.transfers.clear();
    this.held.length = 0;
    this.socket.end();
    const timer = setTimeout(() => this.socket.destroy(), TERMINATE_GRACE_MS);
    timer.unref();
    this.socket.once('close', () => clearTimeout(timer));
    // Commands stop at once; only the socket lives on, until the peer has read why.
    this.closed = true;
    clearTimeout(this.associationTimer);
    this.queue?.controller.connectionClosed(this);
  }

  private requireInitialized(): void {
    if (!this.initialized) {
      throw new PduError(
        FatalErrorStatus.pduSequenceError,
        PduField.type,
        'the first PDU is not ICReq',
      );
    }
  }

  private initialize(pdu: Pdu): void {
    if (this.initialized)
      throw new PduError(FatalErrorStatus.pduSequenceError, PduField.type, 'a second ICReq');
    const request = readInitializeConnection(pdu.header);
    if (request.format !== 0) {
      throw new PduError(
        FatalErrorStatus.unsupportedParameter,
        PduField.icFormat,
        `PFV ${request.format}`,
      );
    }
    if (request.alignment > DATA_ALIGNMENT_MAX) {
      throw new PduError(
        FatalErrorStatus.invalidHeaderField,
        PduField.icAlignment,
        `HPDA ${request.alignment}`,
      );
    }
    this.initialized = true;
    const { headerDigest, dataDigest } = request;
    // CPDA 0: Linux takes nothing else.
    this.encoder.initializeConnection(PduType.icResp, {
      format: 0,
      alignment: 0,
      headerDigest,
      dataDigest,
      limit: MAX_H2C_DATA_BYTES,
    });
    this.encoder.configure(headerDigest, dataDigest, request.alignment);
    this.parser.enableDigests(headerDigest, dataDigest);
  }

  private command(pdu: Pdu): void {
    this.requireInitialized();
    const isFabrics = readOpcode(capsuleEntry(pdu.header)) === FABRICS_OPCODE;
    const isIo = this.queue !== undefined && this.queue.queueId > 0 && !isFabrics;
    if (isIo && (pdu.data?.length ?? 0) > this.limits.inCapsuleDataBytes) {
      throw new PduError(
        FatalErrorStatus.invalidHeaderField,
        PduField.pduLength,
        'more in-capsule data than IOCCSZ allows',
      );
    }
    if (this.outstanding.size + this.held.length >= (this.queue?.sizeEntries ?? 1)) {
      throw new PduError(
        FatalErrorStatus.pduSequenceError,
        PduField.capsule,
        'more commands than the queue has entries',
      );
    }
    if (this.held.length === 0 && this.output.heldBytes < MAX_UNSENT_BYTES) {
      this.begin(pdu);
      return;
    }
    this.held.push(pdu);
    // What is not sent yet may have been written in this turn only; 'drain' comes for what the socket has.
    this.output.flush();
    this.socket.pause();
  }

  /** Commands that were held back begin in their order, as far as the host has read. */
  private beginHeld(): void {
    while (!this.closed && this.output.heldBytes < MAX_UNSENT_BYTES) {
      const pdu = this.held.shift();
      if (pdu === undefined) {
        this.socket.resume();
        return;
      }
      this.begin(pdu);
    }
  }

  private begin(pdu: Pdu): void {
    const entry = capsuleEntry(pdu.header);
    const commandId = readCommandId(entry);
    if (this.outstanding.has(commandId)) {
      this.respond(commandId, { status: doNotRetry(Status.commandIdConflict) });
      return;
    }
    this.outstanding.add(commandId);
    if (!pdu.dataDigestValid) {
      this.complete(commandId, { status: Status.transientTransportError });
      return;
    }
    const plan = planTransfer(entry, pdu.data?.length ?? 0, this.limits.maxIoSizeBytes);
    switch (plan.kind) {
      case 'refuse':
        return this.complete(commandId, { status: plan.status });
      case 'run':
        return this.run({ entry, commandId, data: undefined, readLength: plan.readLength });
      case 'in-capsule': {
        const data = pdu.data?.subarray(plan.start, plan.end);
        return this.run({ entry, commandId, data, readLength: 0 });
      }
      case 'fetch': {
        const tag = this.transfers.begin(entry, commandId, plan.length, this.keepsNoData(entry));
        return this.encoder.readyToTransfer(commandId, tag, 0, plan.length);
      }
    }
  }

  private hostData(pdu: Pdu): void {
    const ended = this.transfers.received(
      readTransferHeader(pdu.header),
      (pdu.flags & PduFlag.lastPdu) !== 0,
      pdu.dataDigestValid,
    );
    if (ended === undefined) return;
    const { entry, commandId, data, memory } = ended;
    if (ended.aborted) {
      memory.release();
      this.complete(commandId, { status: doNotRetry(Status.abortedByPreempt) });
    } else if (ended.intact) {
      // Asked again: another device may stand in the namespace by now.
      const release = this.keepsNoData(entry) ? (): void => memory.release() : undefined;
      this.run({ entry, commandId, data, readLength: 0 }, release);
    } else {
      memory.release();
      this.complete(commandId, { status: Status.transientTransportError });
    }
  }

  private keepsNoData(entry: Buffer): boolean {
    const namespace = this.queue?.controller.namespace(readNsid(entry));
    return namespace?.device.keepsNoData === true;
  }

  /** `release` is called when the command has ended, and with it all use of its data. */
  private run(command: TargetCommand, release?: () => void): void {
    let outcome: CommandOutcome;
    try {
      outcome = this.dispatch(command);
    } catch {
      // A device that throws instead of rejecting must not take the other connections with it.
      outcome = { status: Status.internalError };
    }
    const end = (result: CommandResult): void => {
      release?.();
      this.complete(command.commandId, result);
    };
    if (outcome instanceof Promise) outcome.then(end, () => end({ status: Status.internalError }));
    else end(outcome);
  }

  private dispatch(command: TargetCommand): CommandOutcome {
    if (this.queue !== undefined) return this.queue.controller.execute(this, command);
    const isConnect =
      readOpcode(command.entry) === FABRICS_OPCODE &&
      readFabricsType(command.entry) === FabricsCommand.connect;
    return isConnect
      ? this.connect(this, command)
      : { status: doNotRetry(Status.commandSequenceError) };
  }

  private complete(commandId: number, result: CommandResult): void {
    if (this.closed) return;
    this.outstanding.delete(commandId);
    const { data } = result;
    if (data === undefined || data.length === 0 || result.status !== Status.success) {
      this.respond(commandId, result);
      return;
    }
    const plain = (result.dword0 ?? 0) === 0 && (result.dword1 ?? 0) === 0;
    const success = plain && this.queue?.flowControlDisabled === true;
    this.encoder.controllerToHostData(commandId, 0, data, true, success);
    if (success) this.advanceHead();
    else this.respond(commandId, result);
  }

  private respond(commandId: number, result: CommandResult): void {
    this.advanceHead();
    this.encoder.capsuleResponse(
      encodeCompletion({
        commandId,
        status: result.status,
        dword0: result.dword0 ?? 0,
        dword1: result.dword1 ?? 0,
        // FFFFh tells the host that its wish for no flow control is granted.
        sqHead: this.queue?.flowControlDisabled === true ? 0xffff : this.sqHead,
      }),
    );
  }

  private advanceHead(): void {
    this.sqHead = (this.sqHead + 1) % (this.queue?.sizeEntries ?? 0x1_0000);
  }
}
