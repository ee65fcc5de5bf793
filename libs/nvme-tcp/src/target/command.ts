import type { NvmeStatus } from '../nvme/status.js';
import { Status } from '../nvme/status.js';

/** A command whose data, if it brings any, has arrived. */
export interface TargetCommand {
  /** The 64-byte submission queue entry. */
  readonly entry: Buffer;
  readonly commandId: number;
  /** Data from the host. */
  readonly data: Buffer | undefined;
  /** How much data the host takes, 0 for a command that returns none. */
  readonly readLength: number;
}

export interface CommandResult {
  readonly status: NvmeStatus;
  readonly dword0?: number;
  readonly dword1?: number;
  readonly data?: Buffer;
}

export type CommandOutcome = CommandResult | Promise<CommandResult>;

export const SUCCESS: CommandResult = Object.freeze({ status: Status.success });

/** `data` as the host's buffer takes it: cut, or filled up with zeros. */
export function fitted(data: Buffer, length: number): Buffer {
  if (data.length === length) return data;
  const result = Buffer.alloc(length);
  data.copy(result);
  return result;
}
