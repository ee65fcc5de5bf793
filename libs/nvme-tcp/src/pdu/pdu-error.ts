import type { FatalErrorStatus } from './constants.js';

/** A fatal transport error: whoever finds it sends a TermReq with these fields and closes the connection. */
export class PduError extends Error {
  override readonly name = 'PduError';
  readonly status: FatalErrorStatus;
  /** FEI: offset of the field at fault; for a header digest error the digest that came; else it is not sent. */
  readonly information: number;
  /** The header of the PDU at fault, as far as it had been read. */
  header: Buffer | undefined;

  constructor(status: FatalErrorStatus, information: number, message: string, header?: Buffer) {
    super(message);
    this.status = status;
    this.information = information;
    this.header = header;
  }
}
