import {
  type DryRun,
  type OperationAccepted,
  RebuildRequest,
  ReplicaChecksumRequest,
  type ReplicaChecksums,
  ReplicaRequest,
  type ReplicaView,
  VolumeReference,
  type VolumeRecord,
  type VolumeView as VolumeApiView,
  isEnded,
  lariatError,
  toVolumeView,
} from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES } from '@lariat/kernel';
import { MessageContext, OnRequest } from '@lariat/messaging';
import { type SagaRecord, runOperation } from '@lariat/saga';
import { Controller, Inject } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { REPLICA_SERVICE, type ReplicaService } from '../app-tokens.js';
import { chooseRebuild, replicaNotFound } from '../domain/choose-rebuild.js';
import { assertNotLast } from '../sagas/remove-replica.saga.js';
import { checksumReplicas } from './replica-checksums.js';

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
        rebuild: mode === 'WO' && rebuild !== undefined ? progressOf(rebuild) : null,
      })),
    };
  }

  @OnRequest('replica.rebuild')
  async rebuild(@Payload() request: RebuildRequest, @Ctx() { facts }: MessageContext): Promise<VolumeApiView | OperationAccepted> {
    const record = await this.service.volumes.find(request.volume);
    const ready = new Set(this.service.nodes.list().filter(({ state }) => state === 'ready').map(({ name }) => name));
    // A rebuild that runs already is joined by the runner.
    if (record.operation === null) chooseRebuild(record, request.replica, (node) => ready.has(node));
    const input = { volume: record.id, replica: request.replica ?? null };
    const start = { kind: 'replica.rebuild', input, actor: facts.actor, requestId: facts.requestId, wait: request.wait };
    return runOperation(this.service.runner, start, async () => toVolumeView(await this.service.volumes.find(record.id)));
  }

  @OnRequest('replica.remove')
  async remove(
    @Payload() request: ReplicaRequest,
    @Ctx() { facts }: MessageContext,
  ): Promise<VolumeApiView | OperationAccepted | DryRun> {
    const record = await this.service.volumes.find(request.volume);
    const replica = record.replicas.find(({ id }) => id === request.replica);
    if (replica === undefined) throw replicaNotFound(record, request.replica);
    assertNotLast(record, replica.id);
    if (request.dryRun === true) {
      const left = record.replicas.filter(({ id, mode }) => mode === 'RW' && id !== replica.id).length;
      return {
        dryRun: true,
        would: [`delete replica ${replica.id} (${replica.mode}) on node '${replica.node}'`, `leave ${left} healthy replica(s)`],
      };
    }
    const input = { volume: record.id, replica: replica.id };
    const start = { kind: 'replica.remove', input, actor: facts.actor, requestId: facts.requestId, wait: request.wait };
    return runOperation(this.service.runner, start, async () => toVolumeView(await this.service.volumes.find(record.id)));
  }

  @OnRequest('replica.checksum')
  async checksum(@Payload() request: ReplicaChecksumRequest, @Ctx() { facts }: MessageContext): Promise<ReplicaChecksums> {
    const record = await this.service.volumes.find(request.volume);
    if (request.snapshot === undefined && record.attachment !== null) {
      throw lariatError(
        'VOLUME_ATTACHED',
        `Volume '${record.name}' is attached: its replicas change while they are read. Name a snapshot, or detach it.`,
        { volume: record.id },
      );
    }
    const snapshot = request.snapshot === undefined ? null : snapshotId(record, request.snapshot);
    const start = {
      kind: 'replica.checksum',
      input: { volume: record.id, snapshot },
      actor: facts.actor,
      requestId: facts.requestId,
      wait: true,
    };
    const sums = await runOperation(this.service.runner, start, (ended) => checksumReplicas(ended));
    return sums as ReplicaChecksums;
  }

  private runningRebuild(record: VolumeRecord): SagaRecord | undefined {
    if (record.operation === null) return undefined;
    const operation = this.service.operations.cached(record.operation)?.value;
    return operation?.kind === 'replica.rebuild' && !isEnded(operation.state) ? operation : undefined;
  }
}

function progressOf(operation: SagaRecord): ReplicaView['rebuild'] {
  const { done = 0, total = 0 } = operation.progress ?? {};
  return { operation: operation.id, doneBytes: done * CLUSTER_SIZE_BYTES, totalBytes: total * CLUSTER_SIZE_BYTES };
}

function snapshotId(record: VolumeRecord, reference: string): string {
  const found = record.snapshots.find(({ id, name }) => id === reference || name === reference);
  if (found === undefined) {
    throw lariatError('SNAPSHOT_NOT_FOUND', `Volume '${record.name}' has no snapshot '${reference}'.`, {
      volume: record.id,
      snapshot: reference,
    });
  }
  return found.id;
}
