import {
  CreateSnapshotRequest,
  type OperationAccepted,
  SnapshotReference,
  SnapshotRequest,
  type SnapshotView,
  VolumeReference,
  type VolumeView,
  toVolumeView,
} from '@lariat/contracts';
import { MessageContext, OnRequest } from '@lariat/messaging';
import { runOperation } from '@lariat/saga';
import { Controller, Inject } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { VOLUME_SERVICE, type VolumeService } from '../app-tokens.js';
import {
  assertCanDeleteSnapshot,
  assertCanRevert,
  assertCanSnapshot,
  findSnapshot,
} from '../domain/preconditions.js';

@Controller()
export class SnapshotController {
  constructor(@Inject(VOLUME_SERVICE) private readonly service: VolumeService) {}

  @OnRequest('snapshot.list')
  async list(@Payload() request: VolumeReference): Promise<{ snapshots: readonly SnapshotView[] }> {
    const record = await this.service.volumes.find(request.volume);
    return { snapshots: record.snapshots.map((snapshot) => ({ ...snapshot, volume: record.id })) };
  }

  @OnRequest('snapshot.get')
  async get(@Payload() request: SnapshotReference): Promise<SnapshotView> {
    const record = await this.service.volumes.find(request.volume);
    return { ...findSnapshot(record, request.snapshot), volume: record.id };
  }

  @OnRequest('snapshot.create')
  async create(
    @Payload() request: CreateSnapshotRequest,
    @Ctx() { facts }: MessageContext,
  ): Promise<SnapshotView | OperationAccepted> {
    const record = await this.service.volumes.find(request.volume);
    // The same request that runs already is joined; only another one is refused.
    if (record.operation === null) assertCanSnapshot(record, null, null, request.snapshot);
    const input = { volume: record.id, snapshot: request.snapshot };
    const start = { kind: 'snapshot.create', input, actor: facts.actor, requestId: facts.requestId, wait: request.wait };
    return runOperation(this.service.runner, start, async () => {
      const after = await this.service.volumes.find(record.id);
      return { ...findSnapshot(after, request.snapshot), volume: record.id };
    });
  }

  @OnRequest('snapshot.delete')
  async delete(
    @Payload() request: SnapshotRequest,
    @Ctx() { facts }: MessageContext,
  ): Promise<SnapshotView | OperationAccepted> {
    const record = await this.service.volumes.find(request.volume);
    const snapshot = findSnapshot(record, request.snapshot);
    if (record.operation === null) assertCanDeleteSnapshot(record, null, snapshot);
    const input = { volume: record.id, snapshot: snapshot.id };
    const start = { kind: 'snapshot.delete', input, actor: facts.actor, requestId: facts.requestId, wait: request.wait };
    return runOperation(this.service.runner, start, () => ({ ...snapshot, volume: record.id }));
  }

  @OnRequest('snapshot.revert')
  async revert(
    @Payload() request: SnapshotRequest,
    @Ctx() { facts }: MessageContext,
  ): Promise<VolumeView | OperationAccepted> {
    const record = await this.service.volumes.find(request.volume);
    const snapshot = findSnapshot(record, request.snapshot);
    if (record.operation === null) assertCanRevert(record, null);
    const input = { volume: record.id, snapshot: snapshot.id };
    const start = { kind: 'snapshot.revert', input, actor: facts.actor, requestId: facts.requestId, wait: request.wait };
    return runOperation(this.service.runner, start, async () => toVolumeView(await this.service.volumes.find(record.id)));
  }
}
