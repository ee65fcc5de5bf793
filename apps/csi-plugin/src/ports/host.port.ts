import type { DeviceFacts } from '../domain/device.js';
import type { Program } from '../domain/program.js';
import type { Mapping } from '../domain/mapping.js';
import type { Mount } from '../domain/mount-table.js';

export interface Command extends Program {
  /** What it writes on: it is not begun on any other device, and does not outlive this process. */
  readonly on?: DeviceFacts;
  readonly deadlineMs: number;
  readonly volume: string;
  readonly why: string;
}

export interface CommandEnd {
  readonly code: number;
  readonly stdout: Uint8Array;
  readonly stderr: string;
}

/** Thrown for a program whose end is not known: late, killed, not to be started. What it did is looked at again. */
export class CommandUnknown extends Error {
  override readonly name = 'CommandUnknown';
}

/** The one way by which the node part touches its machine. */
export interface HostPort {
  /** Each command is in the journal before it begins, and its end after it. Throws CommandUnknown. */
  run(command: Command): Promise<CommandEnd>;
  /** Undefined: there is nothing at the path. Nothing is read from the device. */
  describe(path: string): Promise<DeviceFacts | undefined>;
  mounts(): Promise<readonly Mount[]>;
  /** All devices of the device mapper; none where the kernel has none. */
  mappings(): Promise<readonly Mapping[]>;
  makeFolder(path: string): Promise<void>;
  makeFile(path: string): Promise<void>;
  /** A file or an empty folder; nothing there is fine. */
  remove(path: string): Promise<void>;
}
