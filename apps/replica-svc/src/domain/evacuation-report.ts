import type { DryRun, EvacuationReport, VolumeRecord } from '@lariat/contracts';
import { lariatError } from '@lariat/contracts';
import type { Evacuated, PlannedMove } from './plan-evacuation.js';

export interface CopyPlan {
  readonly name: string;
  readonly minimumCopies: number;
  readonly disk: string;
  readonly othersReady: number;
}

/** What an evacuation would do, a line a thing. Pure. */
export function wouldEvacuate(
  { node, disk }: Evacuated,
  moves: readonly PlannedMove[],
  copies: readonly CopyPlan[],
  engines: readonly Pick<VolumeRecord, 'name'>[],
): DryRun {
  const begin =
    disk === null
      ? `cordon node '${node}': no new replicas, no new engines`
      : `cordon disk ${disk} of node '${node}': no new replicas`;
  return {
    dryRun: true,
    would: [
      begin,
      ...moves.map(({ volume, replica, to, reason }) => {
        const what = `replica ${replica.id} (${replica.mode}) of volume '${volume.name}'`;
        return to === null
          ? `leave ${what} where it is: ${reason ?? ''}`
          : `move ${what} to disk ${to.disk} of node '${to.node}', or another that has room then`;
      }),
      ...copies.map(({ name, disk: from, othersReady, minimumCopies }) =>
        othersReady >= Math.max(1, minimumCopies)
          ? `delete the copy of image '${name}' on disk ${from}: ${othersReady} others are ready`
          : `copy image '${name}' to another node, and then delete its copy on disk ${from}`,
      ),
      ...engines.map(
        ({ name }) =>
          `leave the engine of volume '${name}' running: detach it, or attach it elsewhere`,
      ),
      ...(moves.length + copies.length + engines.length === 0 ? ['find nothing to move'] : []),
    ],
  };
}

/** As many are told of each kind: one message holds no more. */
const MOST_TOLD = 64;
const MOST_IN_MESSAGE = 5;

/** Undefined when nothing is left; else what is, each with its reason. Pure. */
export function incompleteError(
  { node, disk }: Evacuated,
  report: EvacuationReport,
): Error | undefined {
  const { replicas, copies, engines } = report.remaining;
  const left = [
    ...replicas.map(
      ({ replica, name, reason }) => `replica ${replica} of volume '${name}' stays: ${reason}`,
    ),
    ...copies.map(({ name, reason }) => `the copy of image '${name}' stays: ${reason}`),
    ...engines.map(
      ({ name }) => `volume '${name}' is attached here: detach it, or attach it elsewhere`,
    ),
  ];
  if (left.length === 0) return undefined;
  const what = disk === null ? `Node '${node}'` : `Disk ${disk} of node '${node}'`;
  const more =
    left.length > MOST_IN_MESSAGE ? `; ${left.length - MOST_IN_MESSAGE} more, see the details` : '';
  const moved = `${report.movedReplicas} replica(s) and ${report.movedCopies} copy(ies) of images have left`;
  return lariatError(
    'DRAIN_INCOMPLETE',
    `${what} is not empty: ${moved}; ${left.slice(0, MOST_IN_MESSAGE).join('; ')}${more}.`,
    {
      node,
      ...(disk === null ? {} : { disk }),
      movedReplicas: report.movedReplicas,
      movedCopies: report.movedCopies,
      remaining: {
        replicas: replicas.slice(0, MOST_TOLD).map((one) => ({ ...one })),
        copies: copies.slice(0, MOST_TOLD).map((one) => ({ ...one })),
        engines: engines.slice(0, MOST_TOLD).map((one) => ({ ...one })),
      },
    },
  );
}
