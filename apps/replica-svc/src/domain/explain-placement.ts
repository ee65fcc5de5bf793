import {
  type DiskVerdict,
  MAX_EXPLAINED_DISKS,
  type PlacementExplanation,
  type PlacementObstacle,
  type PlacementPolicy,
} from '@lariat/contracts';
import { formatBytes } from '@lariat/kernel';
import { freeBytes } from './disk-state.js';
import { obstaclesOf } from './obstacles.js';
import type { PlacementAttempt } from './place.js';

/** What each disk had to say when not all replicas found a place. Pure. */
export function explainPlacement(
  attempt: PlacementAttempt,
  code: 'NO_CAPACITY' | 'NOT_ENOUGH_NODES',
): PlacementExplanation {
  const { request, policy, placements, spread } = attempt;
  const verdicts = attempt.disks.map((disk): DiskVerdict => ({
    node: disk.node,
    zone: disk.zone,
    disk: disk.disk,
    name: disk.name,
    freeBytes: Math.max(0, freeBytes(disk)),
    chosen: placements.filter((placement) => placement.disk === disk.disk).length,
    reasons: obstaclesOf(disk, request, policy, spread),
  }));
  const obstacles: Partial<Record<PlacementObstacle, number>> = {};
  for (const { obstacle } of verdicts.flatMap(({ reasons }) => reasons))
    obstacles[obstacle] = (obstacles[obstacle] ?? 0) + 1;
  // A disk with one reason is the nearest to being of use.
  const ordered = verdicts.toSorted(
    (a, b) =>
      b.chosen - a.chosen ||
      a.reasons.length - b.reasons.length ||
      a.node.localeCompare(b.node) ||
      a.name.localeCompare(b.name),
  );
  const disks = ordered.slice(0, MAX_EXPLAINED_DISKS);
  return {
    summary: summaryOf(attempt, code),
    wanted: request.replicas.length,
    placed: placements.length,
    sizeBytes: request.sizeBytes,
    disks,
    omittedDisks: ordered.length - disks.length,
    obstacles,
  };
}

function summaryOf(
  { request, policy, placements }: PlacementAttempt,
  code: 'NO_CAPACITY' | 'NOT_ENOUGH_NODES',
): string {
  const wanted = request.replicas.length;
  const found = `${placements.length} of ${wanted} replica(s) of ${formatBytes(request.sizeBytes)}`;
  const rules = rulesOf(policy);
  return code === 'NO_CAPACITY'
    ? `There is room for ${found}${rules}. Add disks, delete volumes, or ask for less.`
    : `There is a place for ${found}${rules}. Add nodes or disks, uncordon some, ask for fewer replicas, or relax the placement.`;
}

function rulesOf(policy: PlacementPolicy): string {
  const apart = (['node', 'zone', 'disk'] as const).filter((level) => policy[level] === 'hard');
  const rules = [
    ...(apart.length === 0 ? [] : [`never two on one ${apart.join(' or ')}`]),
    ...(policy.nodeTags.length === 0 ? [] : [`nodes tagged ${policy.nodeTags.join(', ')}`]),
    ...(policy.diskTags.length === 0 ? [] : [`disks tagged ${policy.diskTags.join(', ')}`]),
  ];
  return rules.length === 0 ? '' : ` (${rules.join('; ')})`;
}
