import { ReplicaMode, type VolumeRecord } from '@lariat/contracts';

export interface LegChoice {
  /** Replicas to start with. */
  readonly use: readonly string[];
  /** Replicas that leave the in-sync set first, with the reason. */
  readonly leave: readonly { readonly replica: string; readonly reason: string }[];
}

/**
 * Which replicas an engine starts from. After a clean stop all members of the in-sync set hold the same bytes.
 * After an unclean one a write that was never acknowledged may have reached some of them and not others, so
 * it starts from exactly one, on evidence (invariant 4): every member holds all that was acknowledged, one on
 * a node that answers is taken, the engine's own node first, and the rest are copied from it.
 */
export function chooseLegs(
  record: VolumeRecord,
  engineNode: string,
  answers: (node: string) => boolean,
): LegChoice {
  const inSync = record.replicas.filter((replica) => replica.mode === ReplicaMode.rw);
  if (record.clean || inSync.length <= 1) return { use: inSync.map(({ id }) => id), leave: [] };
  const reachable = inSync.filter(({ node }) => answers(node));
  const chosen = reachable.find(({ node }) => node === engineNode) ?? reachable[0] ?? inSync[0];
  if (chosen === undefined) return { use: [], leave: [] };
  const reason = `unclean stop in epoch ${record.epoch}: copied anew from ${chosen.id} on ${chosen.node}`;
  return {
    use: [chosen.id],
    leave: inSync.filter(({ id }) => id !== chosen.id).map(({ id }) => ({ replica: id, reason })),
  };
}
