import type { Script } from './scripts.js';

export interface ScriptCall {
  /** A list's name, which its other keys begin with. */
  readonly key: string;
  readonly args: readonly (string | number)[];
  /** After it the outcome is unknown. */
  readonly deadlineMs: number;
}

/** A Redis server, as the lists use it. */
export interface ScriptStore {
  run(script: Script, call: ScriptCall): Promise<unknown>;
}
