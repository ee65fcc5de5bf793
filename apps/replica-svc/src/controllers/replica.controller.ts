import {
  DEFAULT_REBUILD_CONTROL,
  type DryRun,
  MoveReplicaRequest,
  type OperationAccepted,
  RebuildRequest,
  type RebuildControl,
  type RebuiltVolumeView,
  ReplicaChecksumRequest,
  type ReplicaChecksums,
  ReplicaRequest,
  type ReplicaView,
  ScaleVolumeRequest,
  type SnapshotVerification,
  VerifySnapshotRequest,
  UpdateRebuildRequest,
  VolumeReference,
  type VolumeRecord,
  type VolumeView as VolumeApiView,
  isEnded,
  lariatError,
  toVolumeView,
} from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES, type Json } from '@lariat/kernel';
import { MessageContext, OnRequest } from '@lariat/messaging';
import { type SagaRecord, assertCancellable, runOperation, toOperationView } from '@lariat/saga';
import { Controller, Inject } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { REPLICA_SERVICE, type ReplicaService } from '../app-tokens.js';
import { chooseRebuild, replicaNotFound } from '../domain/choose-rebuild.js';
import { isBackOn, isReadyAmong } from '../domain/returned.js';
import { type MovePlan, planMove, wouldMove } from '../domain/plan-move.js';
import { assertNotLast } from '../sagas/remove-replica.saga.js';
import { assertCanScale } from '../sagas/scale-volume.saga.js';

@Controller()
export class ReplicaController {
  constructor(@Inject(REPLICA_SERVICE) private readonly service: ReplicaService) {}

  @OnRequest('replica.list')
  async list(@Payload() request: VolumeReference): Promise<{ replicas: readonly ReplicaView[] }> {
    const record = await this.service.volumes.find(request.volume);
    const rebuild = this.runningRebuild(record);
    return {
      replicas: record.replicas.map(({ id, node, disk, mode, state, reason }) => ({
        id,
        volume: record.id,
        node,
        disk,
        mode,
        state,
        reason,
        rebuild: state === 'rebuilding' && rebuild !== undefined ? progressOf(rebuild) : null,
      })),
    };
  }

  @OnRequest('replica.rebuild')
  rebuild(
    @Payload() request: RebuildRequest,
    @Ctx() context: MessageContext,
  ): Promise<RebuiltVolumeView | OperationAccepted> {
    return this.run<RebuiltVolumeView>('replica.rebuild', request.wait, context, async () => {
      const record = await this.service.volumes.find(request.volume);
      const nodes = this.service.nodes.list();
      if (request.keepPause !== true) await this.endPause(record);
      // A rebuild that runs already is joined by the runner.
      if (record.operation === null)
        chooseRebuild(
          record,
          request.replica,
          isReadyAmong(nodes),
          isBackOn(nodes, this.service.clock.nowMs()),
        );
      return {
        volume: record.id,
        replica: request.replica ?? null,
        ...(request.reuse === false ? { reuse: false } : {}),
      };
    });
  }

  @OnRequest('rebuild.update')
  async updateRebuild(@Payload() request: UpdateRebuildRequest): Promise<VolumeApiView> {
    const record = await this.service.volumes.find(request.volume);
    const { paused, cancel, mibPerSecond } = request;
    const unwanted = cancel === true ? this.cancellable(record) : undefined;
    const control: Partial<RebuildControl> = {
      ...(typeof paused === 'boolean' ? { paused } : {}),
      ...(mibPerSecond === undefined ? {} : { mibPerSecond }),
      // Or it would begin again at once; a move does not.
      ...(unwanted?.kind === 'replica.rebuild' ? { paused: true } : {}),
    };
    const updated = await this.control(record, control);
    if (unwanted !== undefined) await this.cancel(record, unwanted);
    return toVolumeView(updated);
  }

  /** One that has come past it meanwhile goes on, and is no reason to keep others from beginning. */
  private async cancel(record: VolumeRecord, unwanted: SagaRecord): Promise<void> {
    try {
      await this.service.client.request('operation.cancel', { operation: unwanted.id });
    } catch (error) {
      const { paused } = record.rebuild ?? DEFAULT_REBUILD_CONTROL;
      await this.control(record, { paused });
      throw error;
    }
  }

  /** Who asks for a copy wants it to go on. */
  private async endPause(record: VolumeRecord): Promise<void> {
    if (record.rebuild?.paused === true) await this.control(record, { paused: false });
  }

  private control(record: VolumeRecord, control: Partial<RebuildControl>): Promise<VolumeRecord> {
    return this.service.client.request('internal.volume.change', {
      volume: record.id,
      // Not this operation's to be asked, whichever it is.
      operation: record.operation ?? 'none',
      changes: [{ type: 'control-rebuild', control }],
    });
  }

  private cancellable(record: VolumeRecord): SagaRecord {
    const rebuild = this.runningRebuild(record);
    if (rebuild === undefined)
      throw lariatError(
        'OPERATION_NOT_CANCELLABLE',
        `No replica of volume '${record.name}' is being rebuilt or moved.`,
        { volume: record.id },
      );
    assertCancellable(toOperationView(rebuild));
    return rebuild;
  }

  @OnRequest('replica.remove')
  async remove(
    @Payload() request: ReplicaRequest,
    @Ctx() context: MessageContext,
  ): Promise<VolumeApiView | OperationAccepted | DryRun> {
    if (request.dryRun === true) {
      return wouldRemove(await this.service.volumes.find(request.volume), request.replica);
    }
    return this.run<VolumeApiView>('replica.remove', request.wait, context, async () => {
      const record = await this.service.volumes.find(request.volume);
      const replica = findRemovable(record, request.replica);
      return { volume: record.id, replica: replica.id };
    });
  }

  @OnRequest('replica.move')
  async move(
    @Payload() request: MoveReplicaRequest,
    @Ctx() context: MessageContext,
  ): Promise<VolumeApiView | OperationAccepted | DryRun> {
    const { nodes } = this.service;
    const prepare = async (): Promise<MovePlan> =>
      planMove(await this.service.volumes.find(request.volume), nodes.list(), request);
    if (request.dryRun === true) return wouldMove(await prepare());
    return this.run<VolumeApiView>('replica.move', request.wait, context, async () => {
      const { record, replica, toDisks } = await prepare();
      await this.endPause(record);
      return { volume: record.id, replica: replica.id, toDisks: [...toDisks] };
    });
  }

  @OnRequest('internal.volume.scale')
  scale(
    @Payload() request: ScaleVolumeRequest,
    @Ctx() context: MessageContext,
  ): Promise<VolumeApiView | OperationAccepted> {
    return this.run<VolumeApiView>('volume.scale', request.wait, context, async () => {
      const record = await this.service.volumes.find(request.volume);
      assertCanScale(record);
      return { volume: record.id, replicas: request.replicas };
    });
  }

  @OnRequest('replica.checksum')
  async checksum(
    @Payload() request: ReplicaChecksumRequest,
    @Ctx() { facts }: MessageContext,
  ): Promise<ReplicaChecksums> {
    const { requestId, actor } = facts;
    const prepare = async (): Promise<Json> => {
      const record = await this.service.volumes.find(request.volume);
      if (request.snapshot === undefined && record.attachment !== null)
        throw changesWhileRead(record);
      return {
        volume: record.id,
        snapshot: request.snapshot === undefined ? null : snapshotId(record, request.snapshot),
      };
    };
    const operation = { kind: 'replica.checksum', actor, requestId, wait: true, prepare };
    return (await runOperation<ReplicaChecksums>(
      this.service.runner,
      operation,
    )) as ReplicaChecksums;
  }

  @OnRequest('snapshot.verify')
  verify(
    @Payload() request: VerifySnapshotRequest,
    @Ctx() context: MessageContext,
  ): Promise<SnapshotVerification | OperationAccepted> {
    return this.run<SnapshotVerification>('snapshot.verify', request.wait, context, async () => {
      const record = await this.service.volumes.find(request.volume);
      return {
        volume: record.id,
        snapshot: snapshotId(record, request.snapshot),
        repair: request.repair ?? true,
      };
    });
  }

  private run<T>(
    kind: string,
    wait: boolean | undefined,
    { facts }: MessageContext,
    prepare: () => Promise<Json>,
  ): Promise<T | OperationAccepted> {
    const { requestId, actor } = facts;
    return runOperation<T>(this.service.runner, { kind, actor, requestId, wait, prepare });
  }

  private runningRebuild(record: VolumeRecord): SagaRecord | undefined {
    if (record.operation === null) return undefined;
    const operation = this.service.operations.cached(record.operation)?.value;
    const isCopy = operation?.kind === 'replica.rebuild' || operation?.kind === 'replica.move';
    return isCopy && !isEnded(operation.state) ? operation : undefined;
  }
}

function findRemovable(record: VolumeRecord, id: string): VolumeRecord['replicas'][number] {
  const replica = record.replicas.find((candidate) => candidate.id === id);
  if (replica === undefined) throw replicaNotFound(record, id);
  assertNotLast(record, replica.id);
  return replica;
}

function wouldRemove(record: VolumeRecord, id: string): DryRun {
  const replica = findRemovable(record, id);
  const left = record.replicas.filter(
    (other) => other.mode === 'RW' && other.id !== replica.id,
  ).length;
  return {
    dryRun: true,
    would: [
      `delete replica ${replica.id} (${replica.mode}) on node '${replica.node}'`,
      `leave ${left} healthy replica(s)`,
    ],
  };
}

function changesWhileRead(record: VolumeRecord): Error {
  return lariatError(
    'VOLUME_ATTACHED',
    `Volume '${record.name}' is attached: its replicas change while they are read. Name a snapshot, or detach it.`,
    { volume: record.id },
  );
}

function progressOf(operation: SagaRecord): ReplicaView['rebuild'] {
  const { done = 0, total = 0 } = operation.progress ?? {};
  return {
    operation: operation.id,
    doneBytes: done * CLUSTER_SIZE_BYTES,
    totalBytes: total * CLUSTER_SIZE_BYTES,
  };
}

function snapshotId(record: VolumeRecord, reference: string): string {
  const found = record.snapshots.find(({ id, name }) => id === reference || name === reference);
  if (found === undefined) {
    throw lariatError(
      'SNAPSHOT_NOT_FOUND',
      `Volume '${record.name}' has no snapshot '${reference}'.`,
      {
        volume: record.id,
        snapshot: reference,
      },
    );
  }
  return found.id;
}
