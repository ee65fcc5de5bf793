import {
  CAPSULE_CMD_HEADER_LENGTH,
  CAPSULE_RESP_LENGTH,
  COMMON_HEADER_LENGTH,
  DATA_HEADER_LENGTH,
  DIGEST_LENGTH,
  FatalErrorStatus,
  IC_PDU_LENGTH,
  PduField,
  PduFlag,
  PduType,
  TERM_REQ_DATA_MAX,
} from './constants.js';
import { crc32cOf } from './digest.js';
import type { PduError } from './pdu-error.js';
import type { InitializeConnection } from './pdu.js';

const HAS_INFORMATION: ReadonlySet<FatalErrorStatus> = new Set<FatalErrorStatus>([
  FatalErrorStatus.invalidHeaderField,
  FatalErrorStatus.headerDigestError,
  FatalErrorStatus.unsupportedParameter,
]);

/** Takes bytes in the order they are to be sent; must not change them. */
export type ByteSink = (bytes: Buffer) => void;

/**
 * Writes PDUs to a sink. Headers are fresh buffers; data buffers are passed on without a copy, so their owner
 * must leave them alone until they are sent.
 */
export class PduEncoder {
  private readonly out: ByteSink;
  private headerDigest = false;
  private dataDigest = false;
  private alignmentBytes = 1;

  constructor(out: ByteSink) {
    this.out = out;
  }

  /** What ICReq and ICResp agreed on; `alignment` is the receiver's HPDA or CPDA, 0's based in dwords. */
  configure(headerDigest: boolean, dataDigest: boolean, alignment: number): void {
    this.headerDigest = headerDigest;
    this.dataDigest = dataDigest;
    this.alignmentBytes = (alignment + 1) * 4;
  }

  initializeConnection(
    type: typeof PduType.icReq | typeof PduType.icResp,
    fields: InitializeConnection,
  ): void {
    const header = bareHeader(type, IC_PDU_LENGTH, IC_PDU_LENGTH);
    header.writeUInt16LE(fields.format, PduField.icFormat);
    header.writeUInt8(fields.alignment, PduField.icAlignment);
    header.writeUInt8(
      (fields.headerDigest ? 1 : 0) | (fields.dataDigest ? 2 : 0),
      PduField.icDigest,
    );
    header.writeUInt32LE(fields.limit, PduField.icLimit);
    this.out(header);
  }

  capsuleCommand(submissionEntry: Buffer, data?: Buffer): void {
    const header = this.begin(PduType.capsuleCmd, 0, CAPSULE_CMD_HEADER_LENGTH, data?.length ?? 0);
    submissionEntry.copy(header, PduField.capsule);
    this.finish(header, CAPSULE_CMD_HEADER_LENGTH, data);
  }

  capsuleResponse(completionEntry: Buffer): void {
    const header = this.begin(PduType.capsuleResp, 0, CAPSULE_RESP_LENGTH, 0);
    completionEntry.copy(header, PduField.capsule);
    this.finish(header, CAPSULE_RESP_LENGTH);
  }

  hostToControllerData(
    commandId: number,
    transferTag: number,
    offset: number,
    data: Buffer,
    last: boolean,
  ): void {
    const flags = last ? PduFlag.lastPdu : 0;
    const header = this.begin(PduType.h2cData, flags, DATA_HEADER_LENGTH, data.length);
    writeTransfer(header, commandId, transferTag, offset, data.length);
    this.finish(header, DATA_HEADER_LENGTH, data);
  }

  controllerToHostData(
    commandId: number,
    offset: number,
    data: Buffer,
    last: boolean,
    success: boolean,
  ): void {
    const flags = (last ? PduFlag.lastPdu : 0) | (success ? PduFlag.success : 0);
    const header = this.begin(PduType.c2hData, flags, DATA_HEADER_LENGTH, data.length);
    writeTransfer(header, commandId, 0, offset, data.length);
    this.finish(header, DATA_HEADER_LENGTH, data);
  }

  readyToTransfer(commandId: number, transferTag: number, offset: number, length: number): void {
    const header = this.begin(PduType.r2t, 0, DATA_HEADER_LENGTH, 0);
    writeTransfer(header, commandId, transferTag, offset, length);
    this.finish(header, DATA_HEADER_LENGTH);
  }

  terminate(type: typeof PduType.h2cTermReq | typeof PduType.c2hTermReq, error: PduError): void {
    const data = (error.header ?? Buffer.alloc(COMMON_HEADER_LENGTH)).subarray(
      0,
      TERM_REQ_DATA_MAX,
    );
    const header = bareHeader(type, DATA_HEADER_LENGTH, DATA_HEADER_LENGTH + data.length);
    header.writeUInt16LE(error.status, PduField.termStatus);
    // FEI is reserved with the other statuses.
    if (HAS_INFORMATION.has(error.status))
      header.writeUInt32LE(error.information, PduField.termInfo);
    this.out(header);
    this.out(data);
  }

  private begin(type: PduType, flags: number, headerLength: number, dataLength: number): Buffer {
    let region = headerLength + (this.headerDigest ? DIGEST_LENGTH : 0);
    let pduLength = region;
    let dataOffset = 0;
    let allFlags = flags | (this.headerDigest ? PduFlag.headerDigest : 0);
    if (dataLength > 0) {
      region = Math.ceil(region / this.alignmentBytes) * this.alignmentBytes;
      dataOffset = region;
      pduLength = region + dataLength + (this.dataDigest ? DIGEST_LENGTH : 0);
      if (this.dataDigest) allFlags |= PduFlag.dataDigest;
    }
    // allocUnsafe comes from Node's pool; every byte is written here or by the caller.
    const header = Buffer.allocUnsafe(region);
    header.fill(0, COMMON_HEADER_LENGTH);
    header[PduField.type] = type;
    header[PduField.flags] = allFlags;
    header[PduField.headerLength] = headerLength;
    header[PduField.dataOffset] = dataOffset;
    header.writeUInt32LE(pduLength, PduField.pduLength);
    return header;
  }

  private finish(header: Buffer, headerLength: number, data?: Buffer): void {
    if (this.headerDigest)
      header.writeUInt32LE(crc32cOf(header.subarray(0, headerLength)), headerLength);
    this.out(header);
    if (data === undefined || data.length === 0) return;
    this.out(data);
    if (!this.dataDigest) return;
    const digest = Buffer.allocUnsafe(DIGEST_LENGTH);
    digest.writeUInt32LE(crc32cOf(data));
    this.out(digest);
  }
}

function bareHeader(type: PduType, headerLength: number, pduLength: number): Buffer {
  const header = Buffer.alloc(headerLength);
  header[PduField.type] = type;
  header[PduField.headerLength] = headerLength;
  header.writeUInt32LE(pduLength, PduField.pduLength);
  return header;
}

function writeTransfer(
  header: Buffer,
  commandId: number,
  tag: number,
  offset: number,
  length: number,
): void {
  header.writeUInt16LE(commandId, PduField.commandId);
  header.writeUInt16LE(tag, PduField.transferTag);
  header.writeUInt32LE(offset, PduField.transferOffset);
  header.writeUInt32LE(length, PduField.transferLength);
}
