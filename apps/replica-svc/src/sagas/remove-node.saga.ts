import {
  type NodeRemoval,
  type ReplicaThere,
  type RequestMap,
  hasCode,
  lariatError,
} from '@lariat/contracts';
import { type Json, delay } from '@lariat/kernel';
import {
  RETRY_BRIEFLY,
  RETRY_UNTIL_DONE,
  type SagaDefinition,
  type StepContext,
  isDeclaredGone,
  outcomeOf,
} from '@lariat/saga';
import { planRemoval } from '../domain/plan-removal.js';
import type { RebuildDeps } from './rebuild-memory.js';

export interface RemoveNodeInput {
  readonly node: string;
  readonly acceptDataLoss: boolean;
  /** What it was, for the answer. */
  readonly removed: { readonly [key: string]: Json };
}

type Context = StepContext<RemoveNodeInput, NodeRemoval>;

/** Each volume's own operation ends within seconds when its node is gone; there may be many. */
const VOLUMES_TIMEOUT_MS = 10 * 60_000;
/** An operation of somebody else on the volume is waited for this long. */
const BUSY_FOR_MS = 20_000;
const TRY_AGAIN_MS = 500;
/** Longer than a node that is dead goes undeclared (DOWN_AFTER_MS). */
const JUDGED_WITHIN_MS = 15_000;

/**
 * Removes a node that is down: what it ran is detached, what it held is taken off the records, one operation a volume, and
 * at last the node itself. Nothing waits for it (invariant 8), and nothing of it is undone: what was taken off it is rebuilt
 * elsewhere, like after any loss.
 */
export function removeNodeSaga(deps: RebuildDeps): SagaDefinition<RemoveNodeInput, NodeRemoval> {
  return {
    kind: 'node.remove',
    subjectOf: (input) => `node/${input.node}`,
    steps: [
      {
        name: 'detach',
        waitsFor: (input) => `the volumes that are attached on ${input.node}`,
        timeoutMs: VOLUMES_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        run: async (context) => {
          await assertGone(context);
          return { detached: await detachAll(deps, context) };
        },
      },
      {
        name: 'drop-replicas',
        waitsFor: (input) => `the volumes that have replicas on ${input.node}`,
        timeoutMs: VOLUMES_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        run: async (context) => {
          await assertGone(context);
          return dropAll(deps, context);
        },
      },
      {
        name: 'forget-images',
        waitsFor: 'the records of images to be changed',
        timeoutMs: 30_000,
        retry: RETRY_BRIEFLY,
        run: async (context) => {
          const { node, acceptDataLoss } = context.input;
          const { lastCopies } = await context.client.request('internal.image.forget-node', {
            node,
          });
          if (lastCopies.length > 0 && !acceptDataLoss) throw lossNotAccepted(node, lastCopies);
          await releaseForgotten(deps, node);
          return { lostImages: lastCopies };
        },
      },
      {
        name: 'forget',
        waitsFor: 'the record of the node to go',
        timeoutMs: 30_000,
        retry: RETRY_UNTIL_DONE,
        run: async ({ input, actor, memory }) => {
          const { node } = input;
          const orphans = deps.orphans.list().filter((orphan) => orphan.node === node);
          for (const { id } of orphans)
            await deps.orphans.end(id, 'forgotten', 'its node was removed', actor);
          await deps.nodes.remove(node, actor);
          return { orphans: Math.max(orphans.length, memory.orphans ?? 0) };
        },
      },
    ],
    result: ({ removed }, memory) => {
      const { detached = [], dropped = [], lost = [], left = [] } = memory;
      const { lostImages = [], orphans = 0 } = memory;
      const removal: NodeRemoval = { detached, dropped, lost, left, lostImages, orphans };
      return { ...removed, removal } as unknown as Json;
    },
  };
}

/** Ends what was promised there to copies that no image has on record any more. */
async function releaseForgotten(
  { allocator, images }: Pick<RebuildDeps, 'allocator' | 'images'>,
  node: string,
): Promise<void> {
  const promised = allocator
    .list()
    .filter((record) => record.node === node)
    .flatMap(({ disk, images: copies = {} }) =>
      Object.keys(copies).map((image) => ({ image, disk })),
    );
  for (const { image, disk } of promised) {
    const record = await images.fresh(image);
    const isOnRecord = record?.copies.some((copy) => copy.disk === disk) === true;
    if (!isOnRecord) await allocator.releaseImageCopy({ image, disk });
  }
}

/**
 * A node that is back is in use again: what was not taken off it yet stays. Who judges nodes, and has just been started,
 * has heard of none, and needs as long as it takes to tell a dead one from one that lives.
 */
async function assertGone(context: Context): Promise<void> {
  const { node } = context.input;
  for (let waitedMs = 0; waitedMs < JUDGED_WITHIN_MS; waitedMs += TRY_AGAIN_MS) {
    if (await isDeclaredGone(context, node)) return;
    await delay(TRY_AGAIN_MS);
  }
  throw lariatError(
    'NODE_IN_USE',
    `Node '${node}' is back, and is not removed. What was detached or taken off it meanwhile stays so; replicas are rebuilt.`,
    { node },
  );
}

async function detachAll(deps: RebuildDeps, context: Context): Promise<readonly string[]> {
  const detached = [...(context.memory.detached ?? [])];
  for (const { id, name } of planRemoval(context.input.node, deps.volumes.list(), []).attached) {
    const outcome = await ask(context, 'volume.detach', { volume: id });
    if (outcome === 'busy') throw volumeBusy(name);
    detached.push(name);
    await context.checkpoint({ detached });
  }
  return [...new Set(detached)];
}

type Dropped = Pick<NodeRemoval, 'dropped' | 'lost' | 'left'>;

async function dropAll(deps: RebuildDeps, context: Context): Promise<Dropped> {
  const { node, acceptDataLoss } = context.input;
  const plan = planRemoval(node, deps.volumes.list(), []);
  const dropped: ReplicaThere[] = [...(context.memory.dropped ?? [])];
  const lost: ReplicaThere[] = [...plan.lost];
  const left: ReplicaThere[] = [];
  for (const { volume, name, replica } of plan.dropped) {
    const one = { volume, name, replica };
    const outcome = await ask(context, 'replica.remove', { volume, replica });
    if (outcome === 'last') lost.push(one);
    else if (outcome === 'busy') left.push(one);
    else dropped.push(one);
    await context.checkpoint({ dropped });
  }
  if (lost.length > 0 && !acceptDataLoss)
    throw lossNotAccepted(
      node,
      lost.map(({ name }) => name),
    );
  return { dropped, lost, left };
}

/** done: also when there is nothing left to do. last: no other replica is healthy by now. busy: somebody works on the volume. */
type Answer = 'done' | 'last' | 'busy';

async function ask<Name extends 'volume.detach' | 'replica.remove'>(
  context: Context,
  name: Name,
  body: RequestMap[Name]['request'],
): Promise<Answer> {
  const untilMs = performance.now() + BUSY_FOR_MS;
  for (;;) {
    try {
      const request = Object.assign({}, body, { wait: false });
      await outcomeOf(context, await context.client.request(name, request));
      return 'done';
    } catch (error) {
      if (hasCode(error, 'VOLUME_NOT_FOUND', 'VOLUME_NOT_ATTACHED', 'REPLICA_NOT_FOUND'))
        return 'done';
      if (hasCode(error, 'LAST_REPLICA', 'VOLUME_FAULTED')) return 'last';
      if (!hasCode(error, 'OPERATION_IN_PROGRESS')) throw error;
      if (performance.now() > untilMs) return 'busy';
      await delay(TRY_AGAIN_MS);
    }
  }
}

function volumeBusy(name: string): Error {
  return lariatError(
    'OPERATION_IN_PROGRESS',
    `Volume '${name}' is attached on the node, and an operation works on it: cancel that, or wait for it, and remove the node again.`,
    { volume: name },
  );
}

function lossNotAccepted(node: string, names: readonly string[]): Error {
  return lariatError(
    'DATA_LOSS_NOT_ACCEPTED',
    `Node '${node}' has by now all that is left of ${names.join(', ')}. Bring it back, or remove it with acceptDataLoss.`,
    { node },
  );
}
