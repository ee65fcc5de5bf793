import {
  type CommandMap,
  type OrphanEnd,
  type OrphanRecord,
  hasCode,
  lariatError,
} from '@lariat/contracts';
import type { Json } from '@lariat/kernel';
import {
  RETRY_BRIEFLY,
  RETRY_UNTIL_DONE,
  type SagaDefinition,
  type StepContext,
  attemptWhileLive,
} from '@lariat/saga';
import { imageWith, wantedBy } from '../domain/orphans.js';
import type { RebuildDeps } from './rebuild-memory.js';

export interface DeleteOrphanInput {
  readonly orphan: string;
  /** As it was when it was decided on: that is what goes, by its uuid, and nothing else. */
  readonly thing: Pick<OrphanRecord, 'node' | 'kind' | 'name' | 'uuid' | 'disk' | 'volume'>;
  /** For the answer. */
  readonly record: Json;
}

interface DeleteOrphanMemory {
  readonly end: OrphanEnd;
}

const END_OF: Readonly<Record<CommandMap['orphan.delete']['output']['outcome'], OrphanEnd>> = {
  ...{ deleted: 'deleted', absent: 'vanished', owned: 'adopted', changed: 'vanished' },
};

const REASONS: Readonly<Record<OrphanEnd, string>> = {
  deleted: 'its node has deleted it',
  adopted: 'it has an owner again, and stays',
  vanished: 'its node has it no more',
  forgotten: 'its node is gone, and tells of it again when it is back',
};

/** Deletes one thing that nobody owns; a node that is declared gone is not waited for (invariant 8). */
export function deleteOrphanSaga(
  deps: RebuildDeps,
): SagaDefinition<DeleteOrphanInput, DeleteOrphanMemory> {
  return {
    kind: 'orphan.delete',
    subjectOf: (input) => `orphan/${input.orphan}`,
    steps: [
      {
        name: 'delete',
        waitsFor: ({ thing }) => `${thing.name} to go on ${thing.node}`,
        timeoutMs: 20_000,
        retry: RETRY_BRIEFLY,
        run: async (context) => ({ end: await deleteThing(deps, context) }),
      },
      {
        name: 'forget',
        waitsFor: 'the record to be changed',
        timeoutMs: 10_000,
        retry: RETRY_UNTIL_DONE,
        run: async ({ input, memory, actor }) => {
          const { end = 'vanished' } = memory;
          await deps.orphans.end(input.orphan, end, REASONS[end], actor);
        },
      },
    ],
    result: ({ record }, { end = 'vanished' }) => ({ orphan: record, outcome: end }),
  };
}

async function deleteThing(
  deps: RebuildDeps,
  context: StepContext<DeleteOrphanInput, DeleteOrphanMemory>,
): Promise<OrphanEnd> {
  const { orphan, thing } = context.input;
  await assertUnwanted(deps, thing);
  const { node, disk: _disk, ...input } = thing;
  const outcome = await attemptWhileLive(context, node, 'orphan.delete', input, orphan);
  if (outcome.ok) return END_OF[outcome.output.outcome];
  if (hasCode(outcome.error, 'NODE_NOT_READY')) return 'forgotten';
  throw outcome.error;
}

/** A volume, or an image, may have come to want it since it was found: one that was put back from a node's copy of its record, say. */
export async function assertUnwanted(
  { volumes, images, isHeld }: Pick<RebuildDeps, 'volumes' | 'images' | 'isHeld'>,
  thing: DeleteOrphanInput['thing'],
): Promise<void> {
  const held = (replica: string): boolean => isHeld(thing.node, replica);
  const volume =
    thing.kind === 'replica'
      ? await volumes.fresh(thing.volume ?? '')
      : wantedBy(thing, thing.node, volumes.list(), held);
  if (volume !== undefined) throw wanted(thing, `volume '${volume.name}'`);
  const image = imageWith(thing, thing.node, images.list());
  if (image !== undefined) throw wanted(thing, `image '${image.name}'`);
}

function wanted({ name, node }: DeleteOrphanInput['thing'], owner: string): Error {
  return lariatError(
    'ORPHAN_WANTED',
    `${name} on node '${node}' belongs to ${owner}, which is on record: it is no orphan. Remove it there instead.`,
    { node },
  );
}
