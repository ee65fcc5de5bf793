import type { OwnedLeg } from './ownership.js';

/** What one poll of the target showed of an engine. Undefined raid: the target has no such raid. */
export interface EngineSight {
  readonly raid:
    | {
        readonly state: string;
        readonly bases: readonly { readonly name: string | null; readonly uuid: string }[];
      }
    | undefined;
  /** Path state of each leg's controller by replica; absent when the target has no such controller. */
  readonly pathStates: ReadonlyMap<string, string>;
  /** Replicas on whose node nobody listens any more where their target did. */
  readonly refused: ReadonlySet<string>;
  /** Why replicas of this very node can't be kept: their disk is lost, whatever the target still has open. */
  readonly diskLosses: ReadonlyMap<string, string>;
}

/** How long a path may be broken before its leg is lost, in ms. */
export interface Patience {
  readonly brokenMs: number;
  /** Where nobody listens: longer than a target that died takes to be started again. */
  readonly refusedMs: number;
}

export interface EngineVerdict {
  /** The raid does not run: it must be put back. */
  readonly down: boolean;
  /** Legs on which there is positive evidence that they are lost. */
  readonly lost: readonly { readonly replica: string; readonly reason: string }[];
  /** When each leg's path was first seen broken; carried to the next poll. */
  readonly brokenSinceMs: ReadonlyMap<string, number>;
}

const CONNECTED = 'enabled';

export function holdsLeg(
  bases: readonly { readonly name: string | null; readonly uuid: string }[],
  leg: Pick<OwnedLeg, 'bdevName' | 'uuid'>,
): boolean {
  return bases.some(
    (base) => base.name !== null && (base.name === leg.bdevName || base.uuid === leg.uuid),
  );
}

/**
 * Compares an engine's record with what the target shows. A leg is lost when the running raid no longer has
 * it, or when its path has been broken for longer than its patience: until the target fails the I/O on that path, writes
 * wait for it, so telling the volume's record first keeps invariant 4. The same holds for one whose disk is lost: what it
 * still takes is gone when the target closes it. The last connected leg is never lost:
 * it holds the freshest data, whatever its state.
 */
export function judgeEngine(
  legs: readonly OwnedLeg[],
  sight: EngineSight,
  before: ReadonlyMap<string, number>,
  nowMs: number,
  patience: Patience,
): EngineVerdict {
  const members = legs.filter((leg) => leg.state === 'member');
  const { raid } = sight;
  if (raid === undefined || raid.state !== 'online') {
    return { down: true, lost: [], brokenSinceMs: before };
  }
  const brokenSinceMs = new Map<string, number>();
  const suspects: { replica: string; reason: string; connected: boolean }[] = [];
  let sound = 0;
  for (const leg of members) {
    const path = leg.endpoint === null ? CONNECTED : sight.pathStates.get(leg.replica);
    if (!holdsLeg(raid.bases, leg)) {
      const reason =
        path === undefined ? 'its controller is gone' : `the raid dropped it (path: ${path})`;
      suspects.push({ replica: leg.replica, reason, connected: false });
      continue;
    }
    const diskLoss = sight.diskLosses.get(leg.replica);
    if (diskLoss !== undefined) {
      suspects.push({ replica: leg.replica, reason: diskLoss, connected: true });
      continue;
    }
    if (path === CONNECTED) {
      sound += 1;
      continue;
    }
    const since = before.get(leg.replica) ?? nowMs;
    brokenSinceMs.set(leg.replica, since);
    const isRefused = sight.refused.has(leg.replica);
    if (nowMs - since >= (isRefused ? patience.refusedMs : patience.brokenMs)) {
      const how = `'${path ?? 'gone'}'${isRefused ? ', with nobody listening there,' : ''}`;
      const reason = `its path has been ${how} for ${Math.round(nowMs - since)} ms`;
      suspects.push({ replica: leg.replica, reason, connected: true });
    }
  }
  // A leg the raid still holds is only given up while another one is sound.
  const lost = suspects
    .filter((suspect) => sound > 0 || (!suspect.connected && suspects.length < members.length))
    .map(({ replica, reason }) => ({ replica, reason }));
  return { down: false, lost, brokenSinceMs };
}
