import { STALE_HEAD, lariatError, nodeHostNqn, scratchNqn } from '@lariat/contracts';
import { delay, roundUpToCluster } from '@lariat/kernel';
import { SpdkError } from '@lariat/spdk';
import {
  copyControllerName,
  headLvolName,
  namespaceBdev,
  scratchLvolName,
  snapshotLvolName,
  sourceControllerName,
} from '../domain/names.js';
import type { OwnedController } from '../domain/ownership.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { TargetPort } from '../ports/target.port.js';
import type { CommandContext, CommandHandlers, HandlersOf } from './command-handlers.js';
import type { Controllers } from './controllers.js';
import type { Exports } from './exports.js';
import type { ImageCopies } from './image-copies.js';
import { type LvolPlan, type Lvols, type MadeLvol, planLvol } from './lvols.js';
import { requireDisk } from './replica.commands.js';
import type { ResyncCommandName } from './resync.commands.js';
import { removeScratch } from './scratch.js';
import { SnapshotExports } from './snapshot-exports.js';
import { isAbsent } from './target-errors.js';

export interface RebuildCommandParts {
  readonly node: string;
  readonly journal: JournalPort;
  readonly target: TargetPort;
  readonly lvols: Lvols;
  readonly exports: Exports;
  readonly controllers: Controllers;
  readonly images: ImageCopies;
}

/** In place of an operation id while the target has not told it yet. */
const STARTING = -1;

/** strerror(ENOSPC), as SPDK tells why a copy ended. */
const NO_SPACE = /no space left/i;
const COPY_POLL_MS = 200;
/** The first looks come sooner: small snapshots are copied in a moment. */
const COPY_FIRST_POLL_MS = 10;

/** The steps of an online rebuild, on the source's and on the destination's node (design section 5). */
export function rebuildCommands(
  parts: RebuildCommandParts,
): Omit<HandlersOf<'rebuild'>, ResyncCommandName> {
  const { node, journal, target, lvols, exports, controllers, images } = parts;
  const snapshotExports = new SnapshotExports(lvols, exports);

  const exportSnapshot: CommandHandlers['rebuild.export-snapshot'] = async (input, context) => {
    return snapshotExports.openToRebuild(input, input.hostNqn, context.operation);
  };

  const unexportSnapshot: CommandHandlers['rebuild.unexport-snapshot'] = async (input) => {
    await snapshotExports.endRebuild(input);
    return {};
  };

  const createHead: CommandHandlers['rebuild.create-head'] = async (input, context) => {
    const { replica, volume, disk, source } = input;
    requireDisk(journal, disk);
    const sizeBytes = roundUpToCluster(input.sizeBytes);
    // A namespace of an lvol of this very target would get no bdev (design section 5): the lvol itself is used.
    const here = journal.ownedOfKind('lvol').find(({ uuid }) => uuid === source.uuid);
    const controller = here === undefined ? sourceControllerName(replica) : null;
    if (controller !== null) {
      await controllers.ensure({
        name: controller,
        uuid: source.uuid,
        owner: replica,
        volume,
        operation: context.operation,
        epoch: null,
        params: {
          role: 'source',
          replica,
          endpoint: source,
          hostNqn: nodeHostNqn(node),
          copy: null,
        },
      });
    }
    const lvolName = headLvolName(replica);
    const head = await lvols.make(
      planLvol(
        { replica, volume, operation: context.operation },
        { disk, lvolName, role: 'head', sizeBytes, sourceController: controller },
      ),
      // By uuid: the store keeps the parent's name for ever, and a controller's name is not.
      () =>
        here?.params.disk === disk
          ? target.spdk().lvol.clone(source.uuid, lvolName)
          : target.spdk().lvol.cloneBdev(source.uuid, disk, lvolName),
    );
    const { uuid } = await lvols.grow(head, sizeBytes);
    return { lvolUuid: uuid };
  };

  const createScratch: CommandHandlers['rebuild.create-scratch'] = async (input, context) => {
    const { replica, volume, disk, parent, hostNqn } = input;
    requireDisk(journal, disk);
    const sizeBytes = roundUpToCluster(input.sizeBytes);
    const plan = planLvol(
      { replica, volume, operation: context.operation },
      { disk, lvolName: scratchLvolName(replica), role: 'scratch', sizeBytes },
    );
    const made = await makeScratch(plan, replica, parent, input.image ?? null);
    // A snapshot may be larger than the one beneath it: the volume was expanded between them.
    const scratch = await lvols.grow(made, sizeBytes);
    if (input.mibPerSecond !== undefined) await lvols.limitWrites(scratch, input.mibPerSecond);
    if (hostNqn === nodeHostNqn(node)) {
      // The source is this node: a namespace of its own lvol would get no bdev here (design section 5).
      await exports.remove(scratchNqn(replica));
      return exports.endpointOf(scratchNqn(replica), scratch.uuid);
    }
    return exports.ensure({
      name: scratchNqn(replica),
      uuid: scratch.uuid,
      owner: replica,
      volume,
      operation: context.operation,
      epoch: null,
      params: { role: 'scratch', bdevName: scratch.uuid, hosts: [hostNqn] },
    });
  };

  async function makeScratch(
    plan: LvolPlan,
    replica: string,
    parent: string | null,
    image: string | null,
  ): Promise<MadeLvol> {
    const { disk, lvolName } = plan.params;
    if (parent !== null) {
      const base = await lvols.snapshot(replica, parent);
      await dropScratchElsewhere(replica, base);
      return lvols.make(plan, () => target.spdk().lvol.clone(base.uuid, lvolName));
    }
    if (image === null) {
      await dropScratchElsewhere(replica, undefined);
      return lvols.makeEmpty(plan);
    }
    await dropScratchElsewhere(replica, await images.sealed({ image, disk }));
    return images.clone({ image, disk }, plan);
  }

  /**
   * A freeze that died midway leaves a scratch that stands on what it froze, which is the next one's parent only in a
   * chain: in a tree of snapshots the next copy would show its sibling's clusters.
   */
  async function dropScratchElsewhere(replica: string, base: MadeLvol | undefined): Promise<void> {
    const record = lvols.recordOf(replica, 'scratch');
    if (record === undefined) return;
    if (record.uuid !== null) {
      const made = await lvols.scratch(replica);
      const info = await lvols.info(made);
      if (info.lvol?.baseSnapshot === base?.params.lvolName) return;
    }
    await removeScratch(parts, replica);
  }

  const copySnapshot: CommandHandlers['rebuild.copy-snapshot'] = async (input, context) => {
    const { replica, volume, snapshot, parent, image, scratch } = input;
    const layers = await lvols.layersOf(await lvols.snapshot(replica, snapshot), parent, image);
    const scratchHere = journal
      .ownedOfKind('lvol')
      .some(({ uuid, params }) => uuid === scratch.uuid && params.role === 'scratch');
    if (scratchHere) return { copiedClusters: await copyHere(layers, scratch.uuid, context) };
    const name = copyControllerName(scratch.nqn);
    const before = journal.owned('controller', name);
    const copy = before?.params.copy ?? null;
    const stale = copy !== null && copy.targetInstance !== target.instance;
    const untracked = copy !== null && copy.operationId === STARTING;
    // A copy that was started and never recorded may still write: cutting its path ends it.
    if (stale || untracked) await controllers.remove(name);
    await controllers.ensure({
      name,
      uuid: scratch.uuid,
      owner: replica,
      volume,
      operation: context.operation,
      epoch: null,
      params: {
        role: 'copy',
        replica,
        endpoint: scratch,
        hostNqn: nodeHostNqn(node),
        copy: null,
      },
    });
    let copiedClusters = 0;
    let next = 0;
    if (copy !== null && !stale && !untracked) {
      const copied = await followCopy(copy.operationId, context);
      // The layers beneath it were copied before it was begun.
      if (copied !== undefined) next = layers.indexOf(copy.layer) + 1;
      if (next > 0) copiedClusters = copied ?? 0;
    }
    for (const layer of layers.slice(next)) {
      const begun = { layer, targetInstance: target.instance };
      await recordCopy(name, { ...begun, operationId: STARTING });
      const operationId = await target.spdk().lvol.startShallowCopy(layer, namespaceBdev(name));
      await recordCopy(name, { ...begun, operationId });
      copiedClusters += await followToEnd(operationId, context);
    }
    await recordCopy(name, null);
    return { copiedClusters };
  };

  /**
   * On one node the scratch is written to without a path between. What an earlier delivery has begun holds a claim
   * on the scratch until it ends; the target refuses a second copy until then.
   */
  async function copyHere(
    layers: readonly string[],
    scratchUuid: string,
    context: CommandContext,
  ): Promise<number> {
    let copiedClusters = 0;
    for (const layer of layers) {
      const operationId = await target.spdk().lvol.startShallowCopy(layer, scratchUuid);
      copiedClusters += await followToEnd(operationId, context);
    }
    return copiedClusters;
  }

  async function followToEnd(operationId: number, context: CommandContext): Promise<number> {
    const copied = await followCopy(operationId, context);
    if (copied !== undefined) return copied;
    throw lariatError('TARGET_UNAVAILABLE', `the target forgot copy ${operationId}; try again`);
  }

  async function recordCopy(name: string, copy: OwnedController['params']['copy']): Promise<void> {
    const record = journal.owned('controller', name);
    if (record === undefined) return;
    await journal.putOwned({ ...record, params: { ...record.params, copy } });
  }

  /** The number of clusters copied; undefined when the target knows no such copy. */
  async function followCopy(
    operationId: number,
    context: CommandContext,
  ): Promise<number | undefined> {
    for (let waitMs = COPY_FIRST_POLL_MS; ; waitMs = Math.min(COPY_POLL_MS, waitMs * 2)) {
      try {
        const seen = await target.spdk().lvol.checkShallowCopy(operationId);
        context.progress(seen.copiedClusters, seen.totalClusters, 'clusters');
        if (seen.state === 'complete') return seen.copiedClusters;
        if (seen.state === 'error') {
          const reason = seen.error ?? 'no reason given';
          throw lariatError(
            NO_SPACE.test(reason) ? 'DISK_FULL' : 'LEG_UNREACHABLE',
            `the copy stopped after ${seen.copiedClusters} of ${seen.totalClusters} clusters: ${reason}`,
          );
        }
      } catch (reason) {
        if (isAbsent(reason)) return undefined;
        throw reason;
      }
      await delay(waitMs);
    }
  }

  const freezeScratch: CommandHandlers['rebuild.freeze-scratch'] = async (input, context) => {
    const { replica, volume, snapshot } = input;
    const before = lvols.recordOf(replica, 'snapshot', snapshot);
    if (before !== undefined && before.uuid !== null) {
      const { uuid } = await lvols.snapshot(replica, snapshot);
      await removeScratch(parts, replica);
      return { lvolUuid: uuid };
    }
    const scratch = await lvols.scratch(replica);
    const lvolName = snapshotLvolName(replica, snapshot);
    const frozen = await lvols.make(
      planLvol(
        { replica, volume, operation: context.operation },
        {
          disk: scratch.params.disk,
          lvolName,
          role: 'snapshot',
          snapshot,
          sizeBytes: scratch.params.sizeBytes,
        },
      ),
      () => target.spdk().lvol.snapshot(scratch.uuid, lvolName),
    );
    await removeScratch(parts, replica);
    return { lvolUuid: frozen.uuid };
  };

  const finish: CommandHandlers['rebuild.finish'] = async ({ replica, snapshot }) => {
    const head = await lvols.head(replica);
    const parent = await lvols.snapshot(replica, snapshot);
    try {
      await target.spdk().lvol.setParent(head.uuid, parent.uuid);
    } catch (reason) {
      if (!(reason instanceof SpdkError && reason.errno === 'EEXIST')) throw reason;
    }
    if (head.params.sourceController !== null) {
      await journal.putOwned({ ...head, params: { ...head.params, sourceController: null } });
    }
    await removeScratch(parts, replica);
    await controllers.remove(sourceControllerName(replica));
    // Its clusters go to the copy that was made from it.
    const stale = lvols.recordOf(replica, 'snapshot', STALE_HEAD);
    if (stale !== undefined) await lvols.remove(stale);
    return {};
  };

  const detachScratch: CommandHandlers['rebuild.detach-scratch'] = async (input) => {
    await controllers.remove(copyControllerName(input.scratchNqn));
    return {};
  };

  return {
    'rebuild.export-snapshot': exportSnapshot,
    'rebuild.unexport-snapshot': unexportSnapshot,
    'rebuild.create-head': createHead,
    'rebuild.create-scratch': createScratch,
    'rebuild.copy-snapshot': copySnapshot,
    'rebuild.freeze-scratch': freezeScratch,
    'rebuild.finish': finish,
    'rebuild.detach-scratch': detachScratch,
  };
}
