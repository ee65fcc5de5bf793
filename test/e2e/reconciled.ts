import { readFileSync } from 'node:fs';
import { STREAMS } from '@lariat/contracts';
import type { ReconcileCount, ReconcileKind } from '@lariat/kernel';
import { jetstreamManager } from '@nats-io/jetstream';
import { type E2eCluster, until } from './e2e-cluster.js';

export type Reconciled = Readonly<Record<ReconcileKind, ReconcileCount>>;

const KINDS: readonly ReconcileKind[] = [
  'claims',
  'clone-snapshots',
  'devices',
  'disks',
  'engines',
  'exports',
  'frontends',
  'heads',
  'image-copies',
  'leases',
  'limits',
  'loans',
  'nodes',
  'orphans',
  'promises',
  'rebuilds',
  'record-copies',
  'replicas',
  'strays',
  'surplus',
];

/** What the reconcilers of the services and of all agents say that they did, summed by kind. */
export async function reconciledOf({ client, connection }: E2eCluster): Promise<Reconciled> {
  const { nodes } = await client.request('node.list', {});
  const agents = nodes.map(({ agentInstance }) => `lariat-node-agent.${agentInstance}`);
  const answers = await Promise.all(
    ['volume-svc', 'replica-svc', 'backing-image-svc', ...agents].map(async (service) => {
      const answer = await connection.request(`$SRV.STATS.${service}`, '', { timeout: 5_000 });
      return answer.json<{ reconciled: Partial<Reconciled> }>().reconciled;
    }),
  );
  const sums = KINDS.map((kind) => {
    const of = (what: keyof ReconcileCount): number =>
      answers.reduce((sum, counts) => sum + (counts[kind]?.[what] ?? 0), 0);
    return [kind, { looks: of('looks'), repairs: of('repairs') }] as const;
  });
  return Object.fromEntries(sums) as Reconciled;
}

/** The repairs since then, by kind; kinds without any are left out. */
export function repairsSince(before: Reconciled, now: Reconciled): Record<string, number> {
  const rises = KINDS.map((kind) => [kind, now[kind].repairs - before[kind].repairs] as const);
  return Object.fromEntries(rises.filter(([, rise]) => rise !== 0));
}

/** What comes once in 10 s, for each replica; the rest is fewer, or comes every 3 s or more often. */
const SLOW: ReadonlySet<ReconcileKind> = new Set([
  'promises',
  'record-copies',
  'replicas',
  'strays',
]);

/** At rest no lease is left to look at, and no volume is used through a block device here. */
const ABSENT: ReadonlySet<ReconcileKind> = new Set(['leases', 'devices']);

/** Waits until each reconciler has looked at everything three times more; how much that is `objects` says. */
export function lookedAgain(
  e2e: E2eCluster,
  objects: { readonly slow: number; readonly fast: number },
): Promise<Reconciled> {
  const before = reconciledOf(e2e);
  return until('every reconciler to have looked again', 90_000, async () => {
    const [then, now] = [await before, await reconciledOf(e2e)];
    const isEnough = (kind: ReconcileKind): boolean =>
      now[kind].looks - then[kind].looks >= 3 * (SLOW.has(kind) ? objects.slow : objects.fast);
    return KINDS.every((kind) => ABSENT.has(kind) || isEnough(kind)) ? now : undefined;
  });
}

/** Written all the time: who holds which duty, and the traces of the last hour. */
const ALWAYS_WRITTEN: readonly string[] = ['KV_lariat-leases', STREAMS.spans.name];

/** Number of the last message of each stream, those of the record buckets among them, but of the ones above. */
export async function lastSequences({
  connection,
}: E2eCluster): Promise<Readonly<Record<string, number>>> {
  const manager = await jetstreamManager(connection);
  const last: Record<string, number> = {};
  for await (const { config, state } of manager.streams.list())
    if (!ALWAYS_WRITTEN.includes(config.name)) last[config.name] = state.last_seq;
  return last;
}

/** What the agents have logged; their log tells each command, repair and loss. */
export function agentLogs({ cluster }: E2eCluster): string {
  const agents = cluster.processes().filter(({ kind }) => kind === 'agent');
  return agents.map(({ name }) => readFileSync(cluster.paths.log(name), 'utf8')).join('\n');
}
