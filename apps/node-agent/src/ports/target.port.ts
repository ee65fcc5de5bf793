import type { Spdk } from '@lariat/spdk';

/** This node's target process, over its RPC connection. */
export interface TargetPort {
  /** Throws TARGET_UNAVAILABLE while there is no connection. */
  spdk(): Spdk;
  /** Whether `rpc_get_methods` named it, of the target that answered last. */
  supports(method: string): boolean;
  /** e.g. `soft-target 0.1.0`, `SPDK v26.05` */
  readonly version: string;
  /** Changes with every start of the target process. */
  readonly instance: string;
}

/** Where this node's subsystems listen; the port is known after the first start. */
export interface ListenPort {
  readonly traddr: string;
  readonly trsvcid: string;
}

/** The life of the target process and of the connection to it. */
export interface TargetLife {
  /** False: somebody else starts and stops it, and here it is only waited for. */
  readonly isOurs: boolean;
  /** Adopts the running target or starts one, and connects to it; one that is not ours is connected to alone. */
  open(): Promise<{ readonly adopted: boolean }>;
  /** Settles when the connection has ended, with the reason. */
  readonly lost: Promise<string>;
  process(): { readonly pid: number; readonly startTime: number } | undefined;
  /** What the binary says that a start would run; rejects when it does not run. */
  versionOfBinary(): Promise<string>;
  /** Asks it to end, and kills it after the deadline; leaves one that is not ours alone. */
  stop(deadlineMs: number): Promise<void>;
  /** Ends the connection alone; the target goes on. */
  disconnect(): void;
}
