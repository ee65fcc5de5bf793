import type { ImageRecord, VolumeRecord } from '@lariat/contracts';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ImaginedAgents } from './imagined-agents.js';
import { CASES, type Case, type Outcome, live } from './saga-cases.js';

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
});
afterEach(() => {
  vi.useRealTimers();
});

const newAgents = (): ImaginedAgents => new ImaginedAgents(() => Date.now());

/** What an operation that was undone leaves as it was: where the data is, and what users see of the volume. */
const kept = (
  { name, sizeBytes, replicaCount, state, replicas, snapshots, clones = [] }: VolumeRecord,
  loses: Case['losesWhenUndone'] = [],
): object => ({
  ...{ name, sizeBytes, replicaCount },
  // What is noted on a volume keeps it from deletion.
  clones: clones.map(({ volume }) => volume),
  // Hidden ones are swept when nothing stands on them.
  snapshots: snapshots.filter(({ user }) => user).map(({ id }) => id),
  ...(loses.includes('engine') ? {} : { state }),
  ...(loses.includes('replicas')
    ? {}
    : { inSync: replicas.filter(({ mode }) => mode === 'RW').map(({ id }) => id) }),
});

/** Why the operation did not end as it should, or undefined. */
function complaint(
  { volume, others = () => [], image, losesWhenUndone }: Case,
  outcome: Outcome,
): string | undefined {
  const { state, error, volumes, images, wasCancelled } = outcome;
  const held = volumes.find(({ operation }) => operation !== null);
  if (held !== undefined) return `${state}, and ${held.operation} holds ${held.name}`;
  if (!wasCancelled)
    return state === 'succeeded' ? undefined : `${state} without a cancel: ${error ?? ''}`;
  if (state !== 'failed') return `${state}, though it was cancelled`;
  const showImages = (records: readonly ImageRecord[]): string =>
    JSON.stringify(
      losesWhenUndone?.includes('copies') === true
        ? records.map(({ copies: _moved, ...rest }) => rest)
        : records,
    );
  const imagesBefore = showImages(image === undefined ? [] : [image()]);
  if (showImages(images) !== imagesBefore)
    return `images were ${imagesBefore}, are ${showImages(images)}`;
  const before = volume();
  const show = (records: readonly VolumeRecord[]): string =>
    JSON.stringify(records.map((record) => kept(record, losesWhenUndone)));
  const [found, wanted] = [
    show(volumes),
    show([...(before === null ? [] : [before]), ...others()]),
  ];
  return found === wanted ? undefined : `was ${wanted}, is ${found}`;
}

describe.each(Object.entries(CASES))('%s', (_name, what) => {
  it('is undone when it is cancelled, at whichever of its commands, or goes on where it is past that', async () => {
    const { sent } = await live(what, newAgents());
    const complaints: string[] = [];
    for (const [index, command] of sent.entries()) {
      const found = complaint(what, await live(what, newAgents(), index));
      if (found !== undefined) complaints.push(`${command} (${index}): ${found}`);
    }
    expect(complaints).toEqual([]);
  });
});

it('finds most operations cancellable at some of their commands', async () => {
  let cancelled = 0;
  for (const what of Object.values(CASES))
    if ((await live(what, newAgents(), 0)).wasCancelled) cancelled += 1;
  expect(cancelled).toBeGreaterThan(Object.keys(CASES).length / 2);
});
