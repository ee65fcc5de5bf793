import {
  type CommandName,
  type ReplicaRecord,
  type VolumeRecord,
  lariatError,
} from '@lariat/contracts';
import { describe, expect, it } from 'vitest';
import { attachedVolume, readyNode, replicaOn } from '../domain/volume.test-support.js';
import { joinStep } from './rebuild-join.js';
import type { RebuildDeps, RebuildMemory } from './rebuild-memory.js';

interface Sent {
  readonly node: string;
  readonly name: CommandName;
  readonly input: { readonly snapshot?: string };
}

const TARGET = replicaOn('target', 'n4', { mode: 'WO', state: 'rebuilding' });

/** One run of the step, over what its earlier runs have kept; `loses`: the command at which its node does not answer. */
async function run(
  replicas: readonly ReplicaRecord[],
  memory: Partial<RebuildMemory>,
  attempt: number,
  loses?: CommandName,
): Promise<{ readonly sent: readonly Sent[]; readonly kept: Partial<RebuildMemory> }> {
  const sent: Sent[] = [];
  const kept: { found: Partial<RebuildMemory> } = { found: memory };
  const record: VolumeRecord = { ...attachedVolume(), operation: 'op', replicas: [...replicas] };
  const deps = {
    volumes: { fresh: () => Promise.resolve(record) },
    nodes: { list: () => ['n1', 'n2', 'n3', 'n4'].map((node) => readyNode(node)) },
    clock: { nowMs: () => 1 },
  } as unknown as RebuildDeps;
  const context = {
    ...{ operation: 'op', attempt, input: { volume: record.id, replica: null }, memory },
    command: (node: string, name: CommandName, input: object) => {
      sent.push({ node, name, input });
      if (name === loses) return Promise.reject(lariatError('DEADLINE_EXCEEDED', 'no answer'));
      return Promise.resolve({});
    },
    client: {
      request: (subject: string) =>
        Promise.resolve(subject === 'node.get' ? { state: 'ready' } : record),
    },
    log: { info: () => undefined, warn: () => undefined },
    checkpoint: (found: Partial<RebuildMemory>) => {
      kept.found = { ...kept.found, ...found };
      return Promise.resolve();
    },
  };
  await joinStep(deps)
    .run(context as never)
    .catch((error: unknown) => {
      if (loses === undefined) throw error;
    });
  return { sent, kept: kept.found };
}

const [first, second] = [replicaOn('r1', 'n1'), replicaOn('r2', 'n2')];
const MEMORY: Partial<RebuildMemory> = {
  ...{ engine: { node: 'n1', epoch: 2 }, sizeBytes: 1, held: null },
  source: { id: 'r2', node: 'n2', disk: 'd' },
  target: { id: 'target', node: 'n4', disk: 'd' },
};
const clonedFrom = (sent: readonly Sent[]): readonly string[] =>
  sent.filter(({ name }) => name === 'rebuild.export-snapshot').map(({ node }) => node);
const frozen = (sent: readonly Sent[]): readonly string[] => [
  ...new Set(
    sent.filter(({ name }) => name === 'snapshot.create').map(({ input }) => input.snapshot ?? ''),
  ),
];

describe('the join of a new replica', () => {
  it('copies from the replica that was chosen', async () => {
    const { sent } = await run([first, second, TARGET], MEMORY, 1);
    expect(clonedFrom(sent)).toEqual(['n2']);
  });

  it('copies from another when that one is in sync no more, and keeps which', async () => {
    const stale = replicaOn('r2', 'n2', { mode: 'ERR' });
    const { sent, kept } = await run([first, stale, TARGET], MEMORY, 2);
    expect(clonedFrom(sent)).toEqual(['n1']);
    expect(kept.source).toEqual({ id: 'r1', node: 'n1', disk: 'd' });
  });

  it('never takes the point of an earlier attempt for its own', async () => {
    const before = await run([first, second, TARGET], MEMORY, 1, 'engine.open-gate');
    const after = await run([first, second, TARGET], before.kept, 2);
    const points = [...frozen(before.sent), ...frozen(after.sent)];
    expect(new Set(points).size).toBe(2);
    // Which is taken back first.
    const deleted = after.sent.filter(({ name }) => name === 'snapshot.delete');
    expect(new Set(deleted.map(({ input }) => input.snapshot))).toEqual(
      new Set(frozen(before.sent)),
    );
  });
});
