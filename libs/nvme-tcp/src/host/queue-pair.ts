import { connect as connectTcp, type Socket } from 'node:net';
import { type Completion, readCompletion, setCommandId, setSgl, SglType } from '../nvme/entry.js';
import { Status } from '../nvme/status.js';
import {
  ADMIN_IN_CAPSULE_MAX,
  DATA_ALIGNMENT_MAX,
  FatalErrorStatus,
  MAX_H2C_DATA_LEAST,
  PduField,
  PduFlag,
  PduType,
} from '../pdu/constants.js';
import { PduEncoder } from '../pdu/pdu-encoder.js';
import { PduError } from '../pdu/pdu-error.js';
import { PduParser, type PduSink } from '../pdu/pdu-parser.js';
import { HOST_RULES } from '../pdu/pdu-rules.js';
import {
  capsuleEntry,
  type Pdu,
  readInitializeConnection,
  readTermination,
  readTransferHeader,
} from '../pdu/pdu.js';
import { SocketOutput } from '../pdu/socket-output.js';
import { LinkError } from './host-error.js';

/** A command and what becomes of it: exactly one of `completed` and `lost` is called. */
export interface QueueCommand {
  /** 64 bytes; the queue sets the command id and the SGL. */
  readonly entry: Buffer;
  /** Data for the controller; must stay as it is until the command ends. */
  readonly data?: Buffer | undefined;
  /** Where the controller's data go; must be filled whole. */
  readonly readInto?: Buffer | undefined;
  completed(completion: Completion): void;
  /** The connection ended before the completion came. */
  lost(reason: Error): void;
}

export interface QueuePairOptions {
  readonly traddr: string;
  readonly trsvcid: string;
  readonly headerDigest: boolean;
  readonly dataDigest: boolean;
  /** Entries of the queue; one less may be outstanding. */
  readonly sizeEntries: number;
}

interface Outstanding {
  readonly command: QueueCommand;
  bytesRead: number;
  /** C2HData with LAST_PDU has come. */
  lastRead: boolean;
  /** End of the data that R2Ts have asked for. */
  bytesSent: number;
  corrupt: boolean;
}

/** One queue on one TCP connection. Nothing is sent after `close`. */
export class QueuePair implements PduSink {
  readonly options: QueuePairOptions;
  private readonly socket: Socket;
  private readonly output: SocketOutput;
  private readonly encoder: PduEncoder;
  private readonly parser: PduParser;
  private readonly outstanding = new Map<number, Outstanding>();
  private readonly freeIds: number[] = [];
  private readonly onClosed: (reason: Error) => void;
  private opened: { resolve: () => void; reject: (reason: Error) => void } | undefined;
  private initialized = false;
  private maxH2cData = MAX_H2C_DATA_LEAST;
  private inCapsuleBytes = ADMIN_IN_CAPSULE_MAX;
  private closed = false;

  private constructor(options: QueuePairOptions, onClosed: (reason: Error) => void) {
    this.options = options;
    this.onClosed = onClosed;
    for (let id = options.sizeEntries - 2; id >= 0; id -= 1) this.freeIds.push(id);
    this.socket = connectTcp({
      host: options.traddr,
      port: Number(options.trsvcid),
      noDelay: true,
    });
    this.output = new SocketOutput(this.socket);
    this.encoder = new PduEncoder(this.output.write);
    this.parser = new PduParser(HOST_RULES, this);
    this.socket.on('data', (chunk: Buffer) => this.take(chunk));
    this.socket.once('error', (error) => this.close(error));
    this.socket.once('close', () =>
      this.close(new LinkError('the controller closed the connection')),
    );
    this.socket.once('connect', () => {
      this.encoder.initializeConnection(PduType.icReq, {
        format: 0,
        alignment: 0,
        headerDigest: options.headerDigest,
        dataDigest: options.dataDigest,
        // MAXR2T is 0's based: one R2T a command at a time.
        limit: 0,
      });
      this.output.flush();
    });
  }

  /**
   * The queue at once, to be closed when nobody waits any more, and `ready` for when PDUs may flow. `onClosed`
   * is called once, after every outstanding command is told that it is lost.
   */
  static open(
    options: QueuePairOptions,
    onClosed: (reason: Error) => void,
  ): { readonly queue: QueuePair; readonly ready: Promise<void> } {
    const queue = new QueuePair(options, onClosed);
    const ready = new Promise<void>((resolve, reject) => {
      queue.opened = { resolve, reject };
    });
    return { queue, ready };
  }

  get hasRoom(): boolean {
    return this.freeIds.length > 0 && !this.closed;
  }

  get outstandingCount(): number {
    return this.outstanding.size;
  }

  /** From IOCCSZ; admin queues keep 8192. */
  setInCapsuleBytes(bytes: number): void {
    this.inCapsuleBytes = bytes;
  }

  /** The caller has seen `hasRoom`. */
  submit(command: QueueCommand): void {
    const id = this.freeIds.pop();
    if (id === undefined || this.closed) {
      command.lost(new LinkError('the queue is closed or full'));
      return;
    }
    this.outstanding.set(id, {
      command,
      bytesRead: 0,
      lastRead: false,
      bytesSent: 0,
      corrupt: false,
    });
    const { entry, data, readInto } = command;
    setCommandId(entry, id);
    if (data === undefined) {
      setSgl(entry, SglType.transport, readInto?.length ?? 0);
      this.encoder.capsuleCommand(entry);
    } else if (data.length <= this.inCapsuleBytes) {
      setSgl(entry, SglType.inCapsule, data.length);
      this.encoder.capsuleCommand(entry, data);
    } else {
      setSgl(entry, SglType.transport, data.length);
      this.encoder.capsuleCommand(entry);
    }
  }

  close(reason: Error): void {
    if (this.closed) return;
    this.closed = true;
    this.parser.stop();
    this.output.close();
    this.socket.destroy();
    this.ended(reason);
  }

  place(type: PduType, header: Buffer, length: number): Buffer | undefined {
    if (type !== PduType.c2hData) return undefined;
    this.requireInitialized();
    const transfer = readTransferHeader(header);
    const outstanding = this.find(transfer.commandId);
    const { readInto } = outstanding.command;
    if (transfer.length !== length) {
      throw new PduError(
        FatalErrorStatus.invalidHeaderField,
        PduField.transferLength,
        'DATAL does not match PLEN',
      );
    }
    const place = `${length} bytes at ${transfer.offset}, expected at ${outstanding.bytesRead} of ${readInto?.length ?? 0}`;
    if (readInto === undefined || outstanding.lastRead)
      throw new PduError(FatalErrorStatus.pduSequenceError, PduField.type, place);
    if (transfer.offset + length > readInto.length)
      throw new PduError(FatalErrorStatus.dataTransferOutOfRange, PduField.transferOffset, place);
    if (transfer.offset !== outstanding.bytesRead)
      throw new PduError(FatalErrorStatus.pduSequenceError, PduField.transferOffset, place);
    return readInto.subarray(transfer.offset, transfer.offset + length);
  }

  receive(pdu: Pdu): void {
    switch (pdu.type) {
      case PduType.icResp:
        return this.initialize(pdu);
      case PduType.capsuleResp:
        this.requireInitialized();
        return this.complete(readCompletion(capsuleEntry(pdu.header)));
      case PduType.c2hData:
        return this.data(pdu);
      case PduType.r2t:
        this.requireInitialized();
        return this.sendData(pdu);
      case PduType.c2hTermReq: {
        const { status, information } = readTermination(pdu.header);
        return this.close(
          new LinkError(
            `the controller ended the connection: fatal error status ${status}, information ${information}`,
          ),
        );
      }
      case PduType.icReq:
      case PduType.h2cTermReq:
      case PduType.capsuleCmd:
      case PduType.h2cData:
        throw new PduError(
          FatalErrorStatus.invalidHeaderField,
          PduField.type,
          'a host receives no such PDU',
        );
    }
  }

  private take(chunk: Buffer): void {
    try {
      this.parser.push(chunk);
    } catch (error) {
      // A malformed C2HTermReq is not answered (transport spec section 3.5).
      const isTermReq = error instanceof PduError && error.header?.[0] === PduType.c2hTermReq;
      if (error instanceof PduError && !isTermReq) this.terminate(error);
      else this.close(error instanceof Error ? error : new LinkError(String(error)));
    }
  }

  private terminate(error: PduError): void {
    if (this.closed) return;
    this.encoder.terminate(PduType.h2cTermReq, error);
    this.output.flush();
    this.close(
      new LinkError(`the controller broke the protocol: ${error.message}`, { cause: error }),
    );
  }

  private ended(reason: Error): void {
    this.opened?.reject(reason);
    this.opened = undefined;
    const lost = [...this.outstanding.values()];
    this.outstanding.clear();
    for (const { command } of lost) command.lost(reason);
    this.onClosed(reason);
  }

  private requireInitialized(): void {
    if (!this.initialized) {
      throw new PduError(
        FatalErrorStatus.pduSequenceError,
        PduField.type,
        'the first PDU is not ICResp',
      );
    }
  }

  private initialize(pdu: Pdu): void {
    if (this.initialized)
      throw new PduError(FatalErrorStatus.pduSequenceError, PduField.type, 'a second ICResp');
    const response = readInitializeConnection(pdu.header);
    const fault = (field: number, message: string): PduError =>
      new PduError(FatalErrorStatus.invalidHeaderField, field, message);
    if (response.format !== 0) throw fault(PduField.icFormat, `PFV ${response.format}`);
    if (response.alignment > DATA_ALIGNMENT_MAX)
      throw fault(PduField.icAlignment, `CPDA ${response.alignment}`);
    if (response.limit < MAX_H2C_DATA_LEAST)
      throw fault(PduField.icLimit, `MAXH2CDATA ${response.limit}`);
    if (
      response.headerDigest !== this.options.headerDigest ||
      response.dataDigest !== this.options.dataDigest
    ) {
      throw fault(
        PduField.icDigest,
        'the controller does not agree to the digests that were asked for',
      );
    }
    this.initialized = true;
    this.maxH2cData = response.limit;
    this.encoder.configure(response.headerDigest, response.dataDigest, response.alignment);
    this.parser.enableDigests(response.headerDigest, response.dataDigest);
    this.opened?.resolve();
    this.opened = undefined;
  }

  private find(commandId: number): Outstanding {
    const outstanding = this.outstanding.get(commandId);
    if (outstanding !== undefined) return outstanding;
    throw new PduError(
      FatalErrorStatus.invalidHeaderField,
      PduField.commandId,
      `no command ${commandId} is outstanding`,
    );
  }

  private data(pdu: Pdu): void {
    const { commandId, length } = readTransferHeader(pdu.header);
    const outstanding = this.find(commandId);
    outstanding.bytesRead += length;
    outstanding.lastRead = (pdu.flags & PduFlag.lastPdu) !== 0;
    if (!pdu.dataDigestValid) outstanding.corrupt = true;
    if ((pdu.flags & PduFlag.success) === 0) return;
    if (!outstanding.lastRead) {
      throw new PduError(
        FatalErrorStatus.invalidHeaderField,
        PduField.flags,
        'SUCCESS without LAST_PDU',
      );
    }
    this.complete({ commandId, status: Status.success, dword0: 0, dword1: 0, sqHead: 0 });
  }

  private sendData(pdu: Pdu): void {
    const transfer = readTransferHeader(pdu.header);
    const outstanding = this.find(transfer.commandId);
    const { data } = outstanding.command;
    const end = transfer.offset + transfer.length;
    const place = `${transfer.length} bytes at ${transfer.offset} asked for, of ${data?.length ?? 0}`;
    if (data === undefined || transfer.length === 0 || end > data.length)
      throw new PduError(FatalErrorStatus.dataTransferOutOfRange, PduField.transferOffset, place);
    // Data is asked for once, in order: else a few bytes from the controller could make this side send without end.
    if (transfer.offset !== outstanding.bytesSent)
      throw new PduError(FatalErrorStatus.pduSequenceError, PduField.transferOffset, place);
    outstanding.bytesSent = end;
    for (let offset = transfer.offset; offset < end; offset += this.maxH2cData) {
      const stop = Math.min(end, offset + this.maxH2cData);
      this.encoder.hostToControllerData(
        transfer.commandId,
        transfer.transferTag,
        offset,
        data.subarray(offset, stop),
        stop === end,
      );
    }
  }

  private complete(completion: Completion): void {
    const { command, bytesRead, corrupt } = this.find(completion.commandId);
    this.outstanding.delete(completion.commandId);
    this.freeIds.push(completion.commandId);
    const short = command.readInto !== undefined && bytesRead !== command.readInto.length;
    const failed = completion.status === Status.success && (corrupt || short);
    command.completed(
      failed ? { ...completion, status: Status.transientTransportError } : completion,
    );
  }
}
