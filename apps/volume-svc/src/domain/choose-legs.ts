import { ReplicaMode, type VolumeRecord } from '@lariat/contracts';

/** Which replicas an engine may start from. */
export type LegChoice =
  /** Hold the same bytes: all that can be reached are used. */
  | { readonly kind: 'all'; readonly replicas: readonly string[] }
  /** May differ in what was never acknowledged: the first that can be reached is used, the rest is copied from it. */
  | { readonly kind: 'one-of'; readonly candidates: readonly string[] };

/**
 * After a clean stop all members of the in-sync set hold the same bytes. After an unclean one a write that was never
 * acknowledged may have reached some of them and not others, so the engine starts from exactly one, on evidence
 * (invariant 4): every member holds all that was acknowledged, so one on a node that answers is taken, the engine's own
 * node first. `maySeize` is false of a node whose engine may still write to its own replica.
 */
export function chooseLegs(
  record: VolumeRecord,
  engineNode: string,
  answers: (node: string) => boolean,
  maySeize: (node: string) => boolean = () => true,
): LegChoice {
  const inSync = record.replicas.filter((replica) => replica.mode === ReplicaMode.rw);
  if (record.clean) return { kind: 'all', replicas: inSync.map(({ id }) => id) };
  const rank = (node: string): number => (answers(node) ? (node === engineNode ? 0 : 1) : 2);
  const candidates = inSync
    .filter(({ node }) => maySeize(node))
    .toSorted((a, b) => rank(a.node) - rank(b.node));
  return { kind: 'one-of', candidates: candidates.map(({ id }) => id) };
}
