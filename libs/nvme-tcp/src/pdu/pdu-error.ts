import type { FatalErrorStatus } from './constants.js';

/** A fatal transport error: whoever finds it sends a TermReq with these fields and closes the connection. */
export class PduError extends Error {
  override readonly name = 'PduError';
  readonly status: FatalErrorStatus;
  /** Offset of the field at fault, for the statuses that report one. */
  readonly fieldOffset: number;
  /** The header of the PDU at fault, as far as it had been read. */
  header: Buffer | undefined;

  constructor(status: FatalErrorStatus, fieldOffset: number, message: string, header?: Buffer) {
    super(message);
    this.status = status;
    this.fieldOffset = fieldOffset;
    this.header = header;
  }
}
