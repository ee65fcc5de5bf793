import { type EvacuationReport, type ImageView, hasCode, lariatError } from '@lariat/contracts';
import { type LariatError, delay, toLariatError } from '@lariat/kernel';
import {
  RETRY_BRIEFLY,
  type SagaStep,
  type StepContext,
  followOperation,
  outcomeOf,
  whileNodesLive,
  whileWanted,
} from '@lariat/saga';
import { incompleteError } from '../domain/evacuation-report.js';
import {
  type Evacuated,
  type Leaving,
  copiesLeaving,
  enginesOn,
  lastOf,
  replicasLeaving,
} from '../domain/plan-evacuation.js';
import type { RebuildDeps } from './rebuild-memory.js';

export interface EvacuationMemory {
  readonly movedReplicas: number;
  readonly movedCopies: number;
  readonly stays: EvacuationReport['remaining']['replicas'];
  readonly copiesStay: EvacuationReport['remaining']['copies'];
}

type Context = StepContext<unknown, EvacuationMemory>;
type Stays = EvacuationReport['remaining']['replicas'][number];

/** A disk full of large volumes takes long; what it waits for are operations, each of which ends by itself. */
const EVACUATE_TIMEOUT_MS = 7 * 24 * 3_600_000;
const TRY_AGAIN_MS = 200;
/** For as long as that a volume that is held by nothing that runs is let go by those who look for such. */
const MOST_TRIES = 300;
const ANSWER_MS = 10_000;
const IMAGE_IN_USE_TRIES = 25;

/** What may be gone when it is looked at again. */
const MAY_PASS = [
  'OPERATION_IN_PROGRESS',
  'OPERATION_NOT_FOUND',
  'VOLUME_BUSY',
  'VOLUME_NOT_FOUND',
  'REPLICA_NOT_FOUND',
] as const;

/** Steps that empty a node or a disk, which must take nothing new by then. Nothing of it is undone. */
export function evacuationSteps<Input, Memory extends EvacuationMemory>(
  deps: RebuildDeps,
  /** Null: there is nothing to do. */
  fromOf: (input: Input) => (Evacuated & { readonly atOnce: number }) | null,
): readonly SagaStep<Input, Memory>[] {
  const told = (input: Input): string => {
    const from = fromOf(input);
    return from === null ? 'nothing' : `${from.disk ?? from.node} to be left`;
  };
  const common = { timeoutMs: EVACUATE_TIMEOUT_MS, retry: RETRY_BRIEFLY };
  return [
    {
      name: 'move-replicas',
      waitsFor: (input) => `the replicas of ${told(input)}`,
      ...common,
      run: async (context) => {
        const from = fromOf(context.input);
        if (from === null) return;
        // Of the fields that these steps know: a definition may remember others.
        return (await moveReplicas(deps, context as unknown as Context, from)) as Partial<Memory>;
      },
    },
    {
      name: 'leave-images',
      waitsFor: (input) => `the copies of images on ${told(input)}`,
      ...common,
      run: async (context) => {
        const from = fromOf(context.input);
        if (from === null) return;
        return (await leaveImages(context as unknown as Context, from)) as Partial<Memory>;
      },
    },
  ];
}

/** What was moved, and what is there still. */
export function reportOn(
  { volumes }: Pick<RebuildDeps, 'volumes'>,
  { node, disk }: Evacuated,
  memory: Readonly<Partial<EvacuationMemory>>,
): EvacuationReport {
  const engines = enginesOn(volumes.list(), { node, disk });
  return {
    ...{ node, disk },
    movedReplicas: memory.movedReplicas ?? 0,
    movedCopies: memory.movedCopies ?? 0,
    remaining: {
      replicas: memory.stays ?? [],
      copies: memory.copiesStay ?? [],
      engines: engines.map(({ id, name }) => ({ volume: id, name })),
    },
  };
}

/** Throws DRAIN_INCOMPLETE, with what is left and why. */
export function assertEmptied(from: Evacuated, report: EvacuationReport): void {
  const error = incompleteError(from, report);
  if (error !== undefined) throw error;
}

/** Each by an operation of its own, so many at once, and never two of one volume. */
async function moveReplicas(
  deps: RebuildDeps,
  context: Context,
  from: Evacuated & { readonly atOnce: number },
): Promise<Partial<EvacuationMemory>> {
  const stays = new Map<string, Stays>();
  const tries = new Map<string, number>();
  const underWay = new Map<string, Promise<void>>();
  let movedReplicas = context.memory.movedReplicas ?? 0;
  const move = async (leaving: Leaving): Promise<void> => {
    const { replica } = leaving;
    const tried = (tries.get(replica.id) ?? 0) + 1;
    tries.set(replica.id, tried);
    const outcome = await moveOne(deps, context, leaving, tried);
    if (outcome === 'moved') {
      movedReplicas += 1;
      await context.checkpoint({ movedReplicas });
    } else if (outcome !== 'again') stays.set(replica.id, outcome);
  };
  try {
    for (;;) {
      const there = replicasLeaving(deps.volumes.list(), from);
      const left = there.filter(({ replica }) => !stays.has(replica.id));
      context.progress(movedReplicas, movedReplicas + there.length, 'replicas');
      const next = left.find(({ volume }) => !underWay.has(volume.id));
      if (next !== undefined && underWay.size < from.atOnce) {
        const { id } = next.volume;
        underWay.set(
          id,
          move(next).finally(() => underWay.delete(id)),
        );
      } else if (underWay.size > 0) await Promise.race(underWay.values());
      else return { movedReplicas, stays: [...stays.values()] };
    }
  } finally {
    // Whatever ends it: none of its moves goes on unheard.
    await Promise.allSettled(underWay.values());
  }
}

async function moveOne(
  deps: RebuildDeps,
  context: Context,
  { volume: seen, replica }: Leaving,
  tried: number,
): Promise<'moved' | 'again' | Stays> {
  const { client, cancellation } = context;
  const stay = ({ code, message }: LariatError): Stays => ({
    ...{ volume: seen.id, name: seen.name, replica: replica.id, disk: replica.disk, code },
    reason: `${lastOf(seen, replica)}${message}`,
  });
  const again = async (error: LariatError): Promise<'again' | Stays> => {
    if (tried >= MOST_TRIES) return stay(error);
    await whileWanted(context, delay(TRY_AGAIN_MS));
    return 'again';
  };
  const record = await deps.volumes.fresh(seen.id);
  if (record?.replicas.some(({ id }) => id === replica.id) !== true)
    return again(lariatError('REPLICA_NOT_FOUND', 'it is on its way out'));
  if (record.operation !== null) {
    const { operation } = record;
    const busy = lariatError('VOLUME_BUSY', `operation ${operation} holds its volume`);
    await whileWanted(context, followOperation(client, operation, context.waitsOn)).catch(
      (reason: unknown) => {
        if (cancellation.aborted || !hasCode(reason, ...MAY_PASS)) throw reason;
      },
    );
    return again(busy);
  }
  const request = { volume: seen.id, replica: replica.id, wait: false };
  try {
    const begun = await client.request('replica.move', request);
    await outcomeOf(context, begun);
    return 'moved';
  } catch (reason) {
    if (cancellation.aborted) throw reason;
    const error = toLariatError(reason);
    if (hasCode(error, ...MAY_PASS)) return again(error);
    // Whether it was begun is not known: the volume's record shows it.
    if (hasCode(error, 'SERVICE_UNAVAILABLE', 'NATS_UNAVAILABLE')) throw error;
    return stay(error);
  }
}

/** After the replicas, which may stand on them. */
async function leaveImages(context: Context, from: Evacuated): Promise<Partial<EvacuationMemory>> {
  const { client } = context;
  const { images } = await client.request('image.list', {});
  const copies = copiesLeaving<ImageView>(images, from);
  const copiesStay: EvacuationMemory['copiesStay'][number][] = [];
  let movedCopies = context.memory.movedCopies ?? 0;
  for (const { image, copy } of copies) {
    context.progress(movedCopies, copies.length, 'copies of images');
    const { node, disk } = copy;
    const site = { image: image.id, node, disk };
    try {
      await whileWanted(context, whileNodesLive(context, [node], leaveOne(context, site)));
      movedCopies += 1;
      await context.checkpoint({ movedCopies });
    } catch (reason) {
      if (context.cancellation.aborted) throw reason;
      const { code, message } = toLariatError(reason);
      copiesStay.push({ image: image.id, name: image.name, disk, code, reason: message });
    }
  }
  return { movedCopies, copiesStay };
}

/** A copy elsewhere takes as long as it takes, and is joined by the next request. */
async function leaveOne(
  context: Context,
  site: { readonly image: string; readonly node: string; readonly disk: string },
): Promise<void> {
  for (let inUse = 0; !context.cancellation.aborted;) {
    try {
      await context.client.request('internal.image.leave-disk', site, { timeoutMs: ANSWER_MS });
      return;
    } catch (reason) {
      if (hasCode(reason, 'IMAGE_NOT_FOUND')) return;
      // What stood on it has just been moved, and its node may not have told yet.
      if (hasCode(reason, 'IMAGE_COPY_IN_USE') && inUse < IMAGE_IN_USE_TRIES) inUse += 1;
      else if (!hasCode(reason, 'DEADLINE_EXCEEDED', 'OPERATION_IN_PROGRESS')) throw reason;
    }
    await delay(TRY_AGAIN_MS);
  }
}
