import {
  COMMON_HEADER_LENGTH,
  DATA_OFFSET_MAX,
  DIGEST_LENGTH,
  FatalErrorStatus,
  PduField,
  PduFlag,
  PduType,
} from './constants.js';
import { crc32cOf } from './digest.js';
import { PduError } from './pdu-error.js';
import type { PduRule, PduRules } from './pdu-rules.js';
import { isPduType, type Pdu } from './pdu.js';

export interface PduSink {
  /**
   * Called when a header with data is complete: where to put its data, or undefined to let the parser choose.
   * A given buffer must be exactly `length` bytes. May throw PduError.
   */
  place(type: PduType, header: Buffer, length: number): Buffer | undefined;
  /** May throw PduError, and may call `stop`. */
  receive(pdu: Pdu): void;
}

/** PDO is one byte, so no header region (header, digest and padding) is longer. */
const HEADER_REGION_MAX = 256;

const NO_RULE: PduRule = { headerLength: 0, data: 'none', digests: false, maxDataLength: 0 };

/**
 * Turns a byte stream, split anywhere, into PDUs. Each data byte is copied at most once, and not at all when
 * a PDU's data lies within one chunk and the sink gives no place for it. Throws PduError from `push` on the
 * first fatal error; after that, and after `stop`, further input is ignored.
 */
export class PduParser {
  private readonly rules: PduRules;
  private readonly sink: PduSink;
  private headerDigest = false;
  private dataDigest = false;
  private stopped = false;

  /** Header region of the PDU under way, when it did not come in one piece. */
  private readonly scratch = Buffer.allocUnsafe(HEADER_REGION_MAX);
  private scratchLength = 0;

  private phase: 'header' | 'data' | 'digest' = 'header';
  private type: PduType = PduType.icReq;
  private rule: PduRule = NO_RULE;
  private header: Buffer = Buffer.alloc(0);
  private regionLength = 0;
  private data: Buffer | undefined;
  private dataLength = 0;
  private dataFilled = 0;
  private placed = false;

  constructor(rules: PduRules, sink: PduSink) {
    this.rules = rules;
    this.sink = sink;
  }

  /** In force from the next PDU on. */
  enableDigests(headerDigest: boolean, dataDigest: boolean): void {
    this.headerDigest = headerDigest;
    this.dataDigest = dataDigest;
  }

  stop(): void {
    this.stopped = true;
  }

  push(chunk: Buffer): void {
    let position = 0;
    try {
      while (!this.stopped && position < chunk.length) {
        if (this.phase === 'header') position = this.takeHeader(chunk, position);
        else if (this.phase === 'data') position = this.takeData(chunk, position);
        else position = this.takeDataDigest(chunk, position);
      }
    } catch (error) {
      this.stopped = true;
      if (error instanceof PduError) error.header ??= this.header;
      throw error;
    }
  }

  private takeHeader(chunk: Buffer, position: number): number {
    if (this.scratchLength === 0 && chunk.length - position >= COMMON_HEADER_LENGTH) {
      this.readCommonHeader(chunk, position);
      const end = position + this.regionLength;
      if (chunk.length >= end) {
        this.completeHeader(chunk.subarray(position, end));
        return end;
      }
    }
    let at = position;
    if (this.scratchLength < COMMON_HEADER_LENGTH) {
      at = this.fillScratch(chunk, at, COMMON_HEADER_LENGTH);
      if (this.scratchLength < COMMON_HEADER_LENGTH) return at;
      this.readCommonHeader(this.scratch, 0);
    }
    at = this.fillScratch(chunk, at, this.regionLength);
    if (this.scratchLength < this.regionLength) return at;
    this.scratchLength = 0;
    // The sink may keep the header beyond the next PDU.
    this.completeHeader(Buffer.from(this.scratch.subarray(0, this.regionLength)));
    return at;
  }

  private fillScratch(chunk: Buffer, position: number, wanted: number): number {
    const count = Math.min(wanted - this.scratchLength, chunk.length - position);
    chunk.copy(this.scratch, this.scratchLength, position, position + count);
    this.scratchLength += count;
    return position + count;
  }

  /** Validates the common header, and finds where the header ends and how much data follows. */
  private readCommonHeader(bytes: Buffer, at: number): void {
    const type = bytes.readUInt8(at + PduField.type);
    const headerLength = bytes.readUInt8(at + PduField.headerLength);
    const dataOffset = bytes.readUInt8(at + PduField.dataOffset);
    const pduLength = bytes.readUInt32LE(at + PduField.pduLength);
    const fail = (field: number, message: string): PduError =>
      new PduError(
        FatalErrorStatus.invalidHeaderField,
        field,
        message,
        Buffer.from(bytes.subarray(at, at + COMMON_HEADER_LENGTH)),
      );
    const rule = isPduType(type) ? this.rules.get(type) : undefined;
    if (!isPduType(type) || rule === undefined)
      throw fail(PduField.type, `unexpected PDU type ${type}`);
    const flags = bytes.readUInt8(at + PduField.flags);
    if (rule.digests && ((flags & PduFlag.headerDigest) !== 0) !== this.headerDigest)
      throw fail(PduField.flags, `HDGSTF of PDU type ${type} is not what was agreed on`);
    if (headerLength !== rule.headerLength) {
      throw fail(
        PduField.headerLength,
        `PDU type ${type} has header length ${headerLength}, not ${rule.headerLength}`,
      );
    }
    const withDigest = headerLength + (rule.digests && this.headerDigest ? DIGEST_LENGTH : 0);
    const hasData = pduLength > withDigest;
    if (pduLength < withDigest || (hasData ? rule.data === 'none' : rule.data === 'required')) {
      throw fail(PduField.pduLength, `PDU type ${type} has length ${pduLength}`);
    }
    this.type = type;
    this.rule = rule;
    this.regionLength = withDigest;
    this.dataLength = 0;
    if (!hasData) return;
    if (rule.digests && ((flags & PduFlag.dataDigest) !== 0) !== this.dataDigest)
      throw fail(PduField.flags, `DDGSTF of PDU type ${type} is not what was agreed on`);
    // A TermReq's data follows its header at once, and its PDO is reserved.
    const start = rule.digests ? dataOffset : withDigest;
    if (start < withDigest || start > DATA_OFFSET_MAX || start % 4 !== 0)
      throw fail(PduField.dataOffset, `PDU type ${type} has data offset ${dataOffset}`);
    const length = pduLength - start - (rule.digests && this.dataDigest ? DIGEST_LENGTH : 0);
    if (length <= 0) throw fail(PduField.pduLength, `PDU type ${type} has length ${pduLength}`);
    // The status for a limit is that of H2CData alone.
    if (length > rule.maxDataLength && type !== PduType.h2cData)
      throw fail(PduField.pduLength, `PDU type ${type} has length ${pduLength}`);
    if (length > rule.maxDataLength) {
      throw new PduError(
        FatalErrorStatus.limitExceeded,
        PduField.pduLength,
        `PDU type ${type} carries ${length} bytes, more than ${rule.maxDataLength}`,
        Buffer.from(bytes.subarray(at, at + COMMON_HEADER_LENGTH)),
      );
    }
    this.regionLength = start;
    this.dataLength = length;
  }

  private completeHeader(region: Buffer): void {
    const rule = this.rule;
    const header = region.subarray(0, rule.headerLength);
    this.header = header;
    if (rule.digests && this.headerDigest) {
      const digest = region.readUInt32LE(rule.headerLength);
      if (digest !== crc32cOf(header)) {
        throw new PduError(
          FatalErrorStatus.headerDigestError,
          digest,
          `header digest of PDU type ${this.type} does not match`,
        );
      }
    }
    if (this.dataLength === 0) {
      this.emit(undefined, true);
      return;
    }
    this.data = this.sink.place(this.type, header, this.dataLength);
    this.placed = this.data !== undefined;
    this.dataFilled = 0;
    this.phase = 'data';
  }

  private takeData(chunk: Buffer, position: number): number {
    const available = chunk.length - position;
    const missing = this.dataLength - this.dataFilled;
    if (this.dataFilled === 0 && !this.placed && available >= missing) {
      this.data = chunk.subarray(position, position + missing);
      this.completeData();
      return position + missing;
    }
    const data = (this.data ??= Buffer.allocUnsafe(this.dataLength));
    const count = Math.min(missing, available);
    chunk.copy(data, this.dataFilled, position, position + count);
    this.dataFilled += count;
    if (count === missing) this.completeData();
    return position + count;
  }

  private completeData(): void {
    if (this.rule.digests && this.dataDigest) this.phase = 'digest';
    else this.emit(this.data, true);
  }

  private takeDataDigest(chunk: Buffer, position: number): number {
    let at = position;
    if (this.scratchLength === 0 && chunk.length - at >= DIGEST_LENGTH) {
      const digest = chunk.readUInt32LE(at);
      this.emit(this.data, this.data !== undefined && digest === crc32cOf(this.data));
      return at + DIGEST_LENGTH;
    }
    at = this.fillScratch(chunk, at, DIGEST_LENGTH);
    if (this.scratchLength < DIGEST_LENGTH) return at;
    this.scratchLength = 0;
    this.emit(
      this.data,
      this.data !== undefined && this.scratch.readUInt32LE(0) === crc32cOf(this.data),
    );
    return at;
  }

  private emit(data: Buffer | undefined, dataDigestValid: boolean): void {
    this.phase = 'header';
    this.data = undefined;
    this.sink.receive({
      type: this.type,
      flags: this.header.readUInt8(PduField.flags),
      header: this.header,
      data,
      dataDigestValid,
    });
  }
}
