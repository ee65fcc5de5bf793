import type { OwnedLoop } from './ownership.js';

/** A loop device of this machine, whoever made it. */
export interface SeenLoop {
  /** `/dev/loop3` */
  readonly device: string;
  readonly backingFile: string;
  /** It goes by itself when its last user has. */
  readonly isEnding: boolean;
}

/** What the machine has of one life of a device. */
export interface LoopWorld {
  readonly loops: readonly SeenLoop[];
  /** nbdfuse runs, on the connection to the server that runs now. */
  readonly isServing: boolean;
  /** nbdfuse runs, on whatever connection. */
  readonly isRunning: boolean;
  readonly isMounted: boolean;
  /** What the device node of the volume points to; null: there is none. */
  readonly pointsTo: string | null;
}

/**
 * What is to be done next. `settled`, `in-use`: nothing. `replace`: the path beneath is dead, and a device can't be given
 * another one; this life is to leave, and another to begin.
 */
export type LoopStep =
  | 'settled'
  | 'serve'
  | 'await-mount'
  | 'bind'
  | 'point-node'
  | 'replace'
  | 'unpoint-node'
  | 'unbind'
  | 'cut-off'
  | 'in-use'
  | 'unmount'
  | 'end-serving'
  | 'forget';

/** A volume's file within the folder that nbdfuse is mounted on. */
export const servedFile = (folder: string): string => `${folder}/nbd`;

/** The loop device of a record: known by the file beneath, which no one else has, never by its number. */
export function loopOf(record: OwnedLoop, loops: readonly SeenLoop[]): SeenLoop | undefined {
  return loops.find(({ backingFile }) => backingFile === servedFile(record.params.folder));
}

/**
 * The next step of one life of a device, from whatever is there now; pure. Each step makes sense after any crash, and a
 * life that is left alone by the world comes to `settled`, or, when it is leaving, to `forget`.
 */
export function nextLoopStep(record: OwnedLoop, world: LoopWorld): LoopStep {
  return record.params.leaving === null ? wanted(record, world) : leaving(record, world);
}

function wanted(record: OwnedLoop, world: LoopWorld): LoopStep {
  const { pointedAt } = record.params;
  const loop = loopOf(record, world.loops);
  if (loop === undefined) {
    // Its number may be somebody else's by now.
    if (pointedAt !== null) return 'unpoint-node';
    if (world.isServing) return world.isMounted ? 'bind' : 'await-mount';
    if (world.isMounted) return 'unmount';
    return world.isRunning ? 'end-serving' : 'serve';
  }
  if (!world.isServing) return 'replace';
  return world.pointsTo === loop.device && pointedAt === loop.device ? 'settled' : 'point-node';
}

function leaving(record: OwnedLoop, world: LoopWorld): LoopStep {
  const loop = loopOf(record, world.loops);
  // First: nobody shall find the way to it any more.
  if (record.params.pointedAt !== null) return 'unpoint-node';
  if (loop !== undefined) {
    // Before the kernel is asked for anything: what is under way ends with errors, and does not hang.
    if (world.isRunning && record.params.leaving === 'forced') return 'cut-off';
    return loop.isEnding ? 'in-use' : 'unbind';
  }
  if (world.isMounted) return 'unmount';
  return world.isRunning ? 'end-serving' : 'forget';
}
