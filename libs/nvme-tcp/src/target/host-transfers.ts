import { FatalErrorStatus, PduField } from '../pdu/constants.js';
import { PduError } from '../pdu/pdu-error.js';
import type { TransferHeader } from '../pdu/pdu.js';
import type { TransferBuffer, TransferMemory } from './transfer-memory.js';

interface HostTransfer {
  readonly entry: Buffer;
  readonly commandId: number;
  readonly data: Buffer;
  readonly memory: TransferBuffer;
  received: number;
  intact: boolean;
  aborted: boolean;
}

export interface EndedTransfer {
  readonly entry: Buffer;
  readonly commandId: number;
  readonly data: Buffer;
  /** To be released when nothing uses `data` any more; or left to the garbage collector. */
  readonly memory: TransferBuffer;
  /** False when a data digest did not match. */
  readonly intact: boolean;
  /** The command was aborted while its data was on its way. */
  readonly aborted: boolean;
}

/** Data that was asked for by R2T and comes in H2CData PDUs: one R2T a command, for all of its data. */
export class HostTransfers {
  private readonly byTag = new Map<number, HostTransfer>();
  private lastTag = 0;

  constructor(private readonly memory: TransferMemory) {}

  /** Returns the transfer tag for the R2T. `isReusable`: the memory will be released. */
  begin(entry: Buffer, commandId: number, length: number, isReusable: boolean): number {
    do {
      this.lastTag = (this.lastTag + 1) & 0xffff;
    } while (this.byTag.has(this.lastTag));
    const memory = this.memory.take(length, isReusable);
    this.byTag.set(this.lastTag, {
      entry,
      commandId,
      data: memory.data,
      memory,
      received: 0,
      intact: true,
      aborted: false,
    });
    return this.lastTag;
  }

  /** Where the data of an H2CData PDU belongs. Throws PduError when it was not asked for. */
  place(header: TransferHeader, length: number): Buffer {
    const transfer = this.byTag.get(header.transferTag);
    if (transfer === undefined) {
      throw new PduError(
        FatalErrorStatus.invalidHeaderField,
        PduField.transferTag,
        `no transfer ${header.transferTag}`,
      );
    }
    if (transfer.commandId !== header.commandId) {
      throw new PduError(
        FatalErrorStatus.invalidHeaderField,
        PduField.commandId,
        'the transfer is of another command',
      );
    }
    if (header.length !== length) {
      throw new PduError(
        FatalErrorStatus.invalidHeaderField,
        PduField.transferLength,
        'DATAL does not match PLEN',
      );
    }
    if (header.offset % 4 !== 0 || length % 4 !== 0) {
      throw new PduError(
        FatalErrorStatus.invalidHeaderField,
        header.offset % 4 === 0 ? PduField.transferLength : PduField.transferOffset,
        'DATAO and DATAL are multiples of dwords',
      );
    }
    const place = `${length} bytes at ${header.offset}, expected at ${transfer.received} of ${transfer.data.length}`;
    if (header.offset + length > transfer.data.length)
      throw new PduError(FatalErrorStatus.dataTransferOutOfRange, PduField.transferOffset, place);
    if (header.offset !== transfer.received)
      throw new PduError(FatalErrorStatus.pduSequenceError, PduField.transferOffset, place);
    return transfer.data.subarray(header.offset, header.offset + length);
  }

  /** The transfer, once all of it has arrived. */
  received(header: TransferHeader, last: boolean, intact: boolean): EndedTransfer | undefined {
    const transfer = this.byTag.get(header.transferTag);
    if (transfer === undefined) return undefined;
    transfer.received += header.length;
    if (!intact) transfer.intact = false;
    if (last !== (transfer.received === transfer.data.length)) {
      throw new PduError(
        FatalErrorStatus.invalidHeaderField,
        PduField.flags,
        'LAST_PDU is not on the last PDU',
      );
    }
    if (!last) return undefined;
    this.byTag.delete(header.transferTag);
    return transfer;
  }

  /** The data of these commands is still taken, as the host may have sent it already. */
  abort(matches: (entry: Buffer) => boolean): void {
    for (const transfer of this.byTag.values())
      if (matches(transfer.entry)) transfer.aborted = true;
  }

  /** Nothing may be placed any more. */
  clear(): void {
    for (const { memory } of this.byTag.values()) memory.release();
    this.byTag.clear();
  }
}
