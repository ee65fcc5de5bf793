import { type Clock, type ReconcileCounts, delay } from '@lariat/kernel';
import type { Log } from '@lariat/telemetry';
import type { Allocator } from '../adapters/allocator.js';
import type { NodeStore } from '../adapters/node-store.js';
import type { VolumeView } from '../adapters/volume-view.js';
import { type PromiseDrift, comparePromises } from '../domain/compare-promises.js';
import { standing } from './standing.js';

const LOOK_EVERY_MS = 10_000;
/**
 * How long a difference must stand: longer than any operation takes from the one record to the other. Should the volumes
 * be seen late all the same, what was dropped wrongly is promised again as soon as they are seen.
 */
const STANDS_FOR_MS = 30_000;

export interface KeepPromisesDeps {
  readonly allocator: Pick<Allocator, 'list' | 'restore' | 'drop'>;
  readonly volumes: Pick<VolumeView, 'list'>;
  readonly nodes: Pick<NodeStore, 'list'>;
  /** Whether the node has said what it has, and the replica is not among that. */
  readonly isAbsent: (node: string, replica: string) => boolean;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly counts: ReconcileCounts;
  readonly log: Log;
}

/** Promises what volumes have on disks where nothing stands for it, and ends what is promised to nobody. */
export async function keepPromises(deps: KeepPromisesDeps, signal: AbortSignal): Promise<void> {
  const since = new Map<string, number>();
  while (!signal.aborted) {
    await comparePromisesOnce(deps, since).catch((error: unknown) =>
      deps.log.warn('promises not compared', { error }),
    );
    await delay(LOOK_EVERY_MS, signal);
  }
}

const keyOf =
  (kind: keyof PromiseDrift) =>
  ({ disk, replica }: { readonly disk: string; readonly replica: string }): string =>
    `${kind}/${disk}/${replica}`;

/** One round. `since`, when each difference was first seen, is carried from round to round. */
export async function comparePromisesOnce(
  { allocator, volumes, nodes, isAbsent, clock, counts, log }: KeepPromisesDeps,
  since: Map<string, number>,
): Promise<void> {
  const nowMs = clock.monotonicMs();
  const allocations = allocator.list();
  for (const { replicas } of allocations) counts.looked('promises', Object.keys(replicas).length);
  const disks = new Set(nodes.list().flatMap((node) => node.disks.map(({ id }) => id)));
  const drift = comparePromises(allocations, volumes.list(), (disk) => disks.has(disk));
  // A store that has lost volumes does not know of what their nodes still have: that takes its space.
  const gone = drift.unwanted.filter(({ node, replica }) => isAbsent(node, replica));
  const found = [...drift.missing.map(keyOf('missing')), ...gone.map(keyOf('unwanted'))];
  const due = standing(since, found, nowMs, STANDS_FOR_MS);
  const missing = drift.missing.filter((one) => due.has(keyOf('missing')(one)));
  const unwanted = gone.filter((one) => due.has(keyOf('unwanted')(one)));
  if (missing.length > 0) {
    counts.repaired('promises', missing.length);
    await allocator.restore(missing, false);
    log.warn('replicas promised what they have', {
      replicas: missing.map(({ replica }) => replica),
    });
  }
  for (const { disk, replica } of unwanted) {
    counts.repaired('promises');
    await allocator.drop(disk, replica);
    log.warn('promise to nobody ended', { disk, replica });
  }
}
