import {
  type ImageEvidence,
  type RecoveredImage,
  type RecoveredVolume,
  RecoveryOutcome,
  type RecoveryReport,
  type VolumeRecord,
  lariatError,
} from '@lariat/contracts';
import { type Clock, sideBySide, toLariatError } from '@lariat/kernel';
import { type LariatClient, type Versioned, claimRecoveredName } from '@lariat/messaging';
import { type SendToNode, surveyNodes } from '../adapters/survey-nodes.js';
import type { VolumeStore } from '../adapters/volume-store.js';
import {
  type Hearing,
  type NodeAnswer,
  type VolumeEvidence,
  evidenceByVolume,
  hearingOf,
} from '../domain/recovery/evidence.js';
import type { NodeTask } from '../domain/recovery/node-task.js';
import { type VolumePlan, asStored, planVolume } from '../domain/recovery/plan-volume.js';
import { describeVolume, reportOf } from '../domain/recovery/report.js';
import { evidenceByImage, findImageUsers, recoverImages } from './recover-images.js';
import { type FoundVolumes, settleClones } from './settle-clones.js';

export interface RecoveryParts {
  readonly volumes: VolumeStore;
  readonly clock: Clock;
  readonly client: Pick<LariatClient, 'request'>;
  readonly send: SendToNode;
  readonly actor: string;
}

export interface RecoveryWish {
  readonly dryRun: boolean;
  /** Names or ids. */
  readonly acceptDataLoss: readonly string[];
}

/** What became, or would become, of one volume. */
interface Outcome {
  readonly volume: RecoveredVolume;
  /** The record as the store has it now; null when it has none. */
  readonly record: VolumeRecord | null;
  readonly written: boolean;
  readonly named: boolean;
}

/** Volumes worked on at once. */
const SIDE_BY_SIDE = 8;
/** Replicas, or copies of images, in one request to placement. */
const BATCH = 1_000;

/**
 * Asks all nodes, decides on each image and each volume, and writes what was decided; images first, so that no volume names
 * one that is yet to come. Each stands for itself: one that can't be put back leaves the others alone. Done again, it
 * finds what it has done and goes on.
 */
export async function recoverVolumes(
  parts: RecoveryParts,
  wish: RecoveryWish,
): Promise<RecoveryReport> {
  const answers = await surveyNodes(parts.client, parts.send);
  const evidence = evidenceByVolume(answers);
  const imageEvidence = evidenceByImage(
    answers,
    await findImageUsers(parts, evidence),
    (...references) => references.some((one) => wish.acceptDataLoss.includes(one)),
  );
  assertKnown(wish.acceptDataLoss, evidence, imageEvidence);
  const images = await recoverImages(parts, imageEvidence, {
    dryRun: wish.dryRun,
    answered: answers.flatMap(({ node, answered }) => (answered ? [node] : [])),
  });
  const hearing = hearingOf(answers);
  const heard = new Set(evidence.map(({ volume }) => volume));
  const others = parts.volumes.list().filter(({ id }) => !heard.has(id));
  const found = [
    ...(await sideBySide(evidence, SIDE_BY_SIDE, (one) => recoverOne(parts, wish, hearing, one))),
    ...(await sideBySide(others, SIDE_BY_SIDE, (record) => othersAsStored(parts, wish, record.id))),
  ];
  const outcomes = await withClones(
    parts,
    wish,
    answers,
    found.flatMap((outcome) => outcome ?? []),
  );
  return reportOf({
    dryRun: wish.dryRun,
    answers,
    volumes: outcomes.map(({ volume }) => volume),
    images: images.images,
    written: images.written || outcomes.some(({ written }) => written),
    names: images.names + outcomes.filter(({ named }) => named).length,
    allocations:
      (await restoreImageAllocations(parts, wish, images.images)) +
      (await restoreAllocations(
        parts,
        wish,
        outcomes.flatMap(({ record }) => record ?? []),
      )),
  });
}

const isNamed = (names: readonly string[], { volume, copies }: VolumeEvidence): boolean =>
  names.some((name) => name === volume || copies.some(({ record }) => record.name === name));

/** A typing error must not read as "there was nothing to accept". */
function assertKnown(
  names: readonly string[],
  evidence: readonly VolumeEvidence[],
  images: readonly ImageEvidence[],
): void {
  const unknown = names.filter(
    (name) =>
      !evidence.some((one) => isNamed([name], one)) &&
      !images.some(({ image, record }) => image === name || record?.name === name),
  );
  if (unknown.length === 0) return;
  throw lariatError(
    'VOLUME_NOT_FOUND',
    `No node that answers keeps a record of ${unknown.map((name) => `'${name}'`).join(', ')}. See 'lariat recover --dry-run'.`,
    { volumes: unknown },
  );
}

/** When all volumes are known, what was found of clones is noted with their sources. */
async function withClones(
  parts: RecoveryParts,
  wish: RecoveryWish,
  answers: readonly NodeAnswer[],
  outcomes: readonly Outcome[],
): Promise<readonly Outcome[]> {
  const found: FoundVolumes = {
    records: new Map(
      outcomes.flatMap(({ record }) => (record === null ? [] : [[record.id, record]])),
    ),
    silent: answers.filter(({ answered }) => !answered).map(({ node }) => node),
  };
  return sideBySide(outcomes, SIDE_BY_SIDE, async (outcome) => {
    const { volume, record } = outcome;
    const isUsable = volume.outcome === 'on-record' || volume.outcome === 'recovered';
    if (record === null || !isUsable) return outcome;
    const acceptDataLoss = wish.acceptDataLoss.some(
      (name) => name === record.id || name === record.name,
    );
    const options = { dryRun: wish.dryRun, acceptDataLoss };
    const { settled, notes } = await settleClones(parts, record, found, options);
    return {
      ...outcome,
      written: outcome.written || settled,
      volume: {
        ...volume,
        outcome: settled ? RecoveryOutcome.recovered : volume.outcome,
        notes: [...volume.notes, ...notes],
      },
    };
  });
}

async function recoverOne(
  parts: RecoveryParts,
  wish: RecoveryWish,
  hearing: Hearing,
  evidence: VolumeEvidence,
): Promise<Outcome | undefined> {
  const { volumes, clock } = parts;
  const id = evidence.volume;
  const stored = await volumes.read(id);
  const plan = planVolume(evidence, {
    hearing,
    stored: stored?.value,
    wasDeleted: stored === undefined && (await volumes.deleted.has(id)),
    acceptDataLoss: isNamed(wish.acceptDataLoss, evidence),
    nowMs: clock.nowMs(),
  });
  try {
    return await carryOut(parts, wish, plan, stored);
  } catch (error) {
    const { message } = toLariatError(error);
    const record = 'record' in plan ? plan.record : null;
    return {
      volume: describeVolume(id, record, 'not-recovered', [`it failed: ${message}`]),
      record: stored?.value ?? null,
      written: false,
      named: false,
    };
  }
}

/** A volume of which no node tells anything. */
async function othersAsStored(
  parts: RecoveryParts,
  wish: RecoveryWish,
  id: string,
): Promise<Outcome | undefined> {
  const stored = await parts.volumes.read(id);
  return stored === undefined ? undefined : carryOut(parts, wish, asStored(stored.value), stored);
}

/** Undefined for one that was deleted: there is nothing to tell of it. */
async function carryOut(
  parts: RecoveryParts,
  wish: RecoveryWish,
  plan: VolumePlan,
  stored: Versioned<VolumeRecord> | undefined,
): Promise<Outcome | undefined> {
  switch (plan.kind) {
    case 'deleted':
      return undefined;
    case 'on-record':
      return settled(parts, wish, plan.record);
    case 'left':
      return {
        volume: describeVolume(plan.id, plan.record, 'not-recovered', plan.notes),
        record: stored?.value ?? null,
        written: false,
        named: false,
      };
    case 'in-doubt':
    case 'put-back': {
      const { name, named } = await reserveName(parts, wish, plan.record);
      const record = { ...plan.record, name };
      const tasks = plan.kind === 'put-back' ? plan.tasks : [];
      const written = JSON.stringify(stored?.value) !== JSON.stringify(plan.record);
      if (!wish.dryRun) {
        for (const task of tasks) await carryOutTask(parts.send, task);
        if (written) {
          const restored = await parts.volumes.restore(record, stored, parts.actor);
          if (plan.kind === 'put-back') await parts.volumes.tell(restored);
        }
      }
      const renamed =
        name === plan.record.name
          ? []
          : [`another volume is named '${plan.record.name}' by now: this one is named '${name}'`];
      const outcome = plan.kind === 'put-back' ? 'recovered' : 'in-doubt';
      const volume = describeVolume(record.id, record, outcome, [...plan.notes, ...renamed]);
      return { volume, record, written, named };
    }
  }
}

/** One that is on record; its name is looked after all the same. */
async function settled(
  parts: RecoveryParts,
  wish: RecoveryWish,
  record: VolumeRecord,
): Promise<Outcome> {
  const { id } = record;
  const isMissing = (await parts.volumes.names.volumeOf(record.name)) === undefined;
  // A delete gives the name back before it takes the record away.
  const named = isMissing && isSettled((await parts.volumes.read(id))?.value);
  if (named && !wish.dryRun) await parts.volumes.names.reserve(record.name, id);
  return { volume: describeVolume(id, record, 'on-record', []), record, written: false, named };
}

/** No operation is about to change what it has. */
const isSettled = (record: VolumeRecord | undefined): boolean =>
  record !== undefined && record.operation === null;

/** By its content: another task of a later run must not be taken for this one. */
function carryOutTask(send: SendToNode, task: NodeTask): Promise<unknown> {
  return send(
    task.node,
    task.command,
    task.input as never,
    `${task.node}/${JSON.stringify(task.input)}`,
  );
}

/** The name that the volume gets: its own, unless a volume that was made since has it. */
async function reserveName(
  { volumes: { names } }: RecoveryParts,
  { dryRun }: RecoveryWish,
  record: VolumeRecord,
): Promise<{ readonly name: string; readonly named: boolean }> {
  const claimed = await claimRecoveredName(
    {
      holderOf: (name) => names.volumeOf(name),
      reserve: (name, id) => names.reserve(name, id),
    },
    record,
    dryRun,
  );
  if (claimed !== undefined) return claimed;
  throw lariatError(
    'VOLUME_NAME_TAKEN',
    `The name '${record.name}', and that with its id behind it, are both taken: delete one of those volumes.`,
  );
}

async function restoreAllocations(
  { client }: RecoveryParts,
  { dryRun }: RecoveryWish,
  records: readonly VolumeRecord[],
): Promise<number> {
  const replicas = records
    .filter(isSettled)
    .flatMap(({ id: volume, sizeBytes, replicas: all }) =>
      all.map(({ id, node, disk }) => ({ volume, replica: id, node, disk, sizeBytes })),
    );
  let restored = 0;
  for (let at = 0; at < replicas.length; at += BATCH) {
    const batch = { replicas: replicas.slice(at, at + BATCH), dryRun };
    restored += (await client.request('internal.placement.restore', batch)).restored;
  }
  return restored;
}

async function restoreImageAllocations(
  { client }: RecoveryParts,
  { dryRun }: RecoveryWish,
  images: readonly RecoveredImage[],
): Promise<number> {
  const all = images
    .filter(({ outcome }) => outcome === 'on-record' || outcome === 'recovered')
    .flatMap(({ id: image, sizeBytes, copies }) =>
      copies
        // Room for one that is being fetched is its operation's to promise.
        .filter(({ state }) => state !== 'fetching')
        .map(({ node, disk }) => ({ image, node, disk, sizeBytes })),
    );
  let restored = 0;
  for (let at = 0; at < all.length; at += BATCH) {
    const batch = { replicas: [], copies: all.slice(at, at + BATCH), dryRun };
    restored += (await client.request('internal.placement.restore', batch)).restored;
  }
  return restored;
}
