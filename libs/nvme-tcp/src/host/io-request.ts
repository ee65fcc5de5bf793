import type { BlockIoError } from '../block-device.js';

export interface IoRequestInit {
  /** The command without command id and SGL. */
  readonly entry: Buffer;
  readonly data?: Buffer;
  readonly readInto?: Buffer;
  /** False for a command that must not run twice; it fails with `aborted` when its connection breaks. */
  readonly repeatable?: boolean;
}

/** One I/O command, from its submission until its caller is told; it may be sent several times. */
export class IoRequest {
  readonly entry: Buffer;
  readonly data: Buffer | undefined;
  readonly readInto: Buffer | undefined;
  readonly repeatable: boolean;
  /** Sends that ended in a status worth another try. */
  retries = 0;
  /** Since when the namespace is inaccessible, on the monotonic clock. */
  inaccessibleSinceMs: number | undefined;
  readonly done: Promise<void>;
  private settle: { resolve: () => void; reject: (reason: Error) => void } | undefined;

  constructor(init: IoRequestInit) {
    this.entry = init.entry;
    this.data = init.data;
    this.readInto = init.readInto;
    this.repeatable = init.repeatable ?? true;
    this.done = new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
    });
  }

  succeed(): void {
    this.settle?.resolve();
    this.settle = undefined;
  }

  fail(error: BlockIoError): void {
    this.settle?.reject(error);
    this.settle = undefined;
  }
}
