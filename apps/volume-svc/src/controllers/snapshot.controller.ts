import {
  CreateSnapshotGroupRequest,
  CreateSnapshotRequest,
  type OperationAccepted,
  type SnapshotGroupView,
  SnapshotReference,
  SnapshotRequest,
  type SnapshotView,
  ListSnapshotsRequest,
  type VolumeView,
} from '@lariat/contracts';
import type { Json } from '@lariat/kernel';
import { EncodedJson, MessageContext, OnRequest } from '@lariat/messaging';
import { encodePage, facet, listPage } from '@lariat/read-model';
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
  async list(@Payload() request: ListSnapshotsRequest): Promise<EncodedJson> {
    const { volumes, lists } = this.service;
    const { volume } = request;
    const facets = volume === undefined ? [] : [facet('volume', (await volumes.find(volume)).id)];
    return encodePage('snapshots', await listPage(lists.snapshots, request, facets));
  }

  @OnRequest('snapshot.get')
  async get(@Payload() request: SnapshotReference): Promise<SnapshotView> {
    const record = await this.service.volumes.find(request.volume);
    return { ...findSnapshot(record, request.snapshot), volume: record.id };
  }

  @OnRequest('snapshot.create')
  create(
    @Payload() request: CreateSnapshotRequest,
    @Ctx() context: MessageContext,
  ): Promise<SnapshotView | OperationAccepted> {
    return this.run<SnapshotView>('snapshot.create', request.wait, context, async () => {
      const record = await this.service.volumes.find(request.volume);
      // The same request that runs already is joined; only another one is refused.
      if (record.operation === null) assertCanSnapshot(record, null, null, request.snapshot);
      return { volume: record.id, snapshot: request.snapshot };
    });
  }

  @OnRequest('snapshot.create-group')
  createGroup(
    @Payload() { volumes, snapshot, wait }: CreateSnapshotGroupRequest,
    @Ctx() context: MessageContext,
  ): Promise<SnapshotGroupView | OperationAccepted> {
    return this.run<SnapshotGroupView>('snapshot.create-group', wait, context, async () => {
      const records = await Promise.all(volumes.map((one) => this.service.volumes.find(one)));
      for (const record of records)
        if (record.operation === null) assertCanSnapshot(record, null, null, snapshot);
      // A volume that is named twice, by its name and its id, is one.
      const ids = Array.from(new Set(records.map(({ id }) => id))).toSorted();
      return { volumes: ids, snapshot };
    });
  }

  @OnRequest('snapshot.delete')
  delete(
    @Payload() request: SnapshotRequest,
    @Ctx() context: MessageContext,
  ): Promise<SnapshotView | OperationAccepted> {
    return this.run<SnapshotView>('snapshot.delete', request.wait, context, async () => {
      const record = await this.service.volumes.find(request.volume);
      const snapshot = findSnapshot(record, request.snapshot);
      if (record.operation === null) assertCanDeleteSnapshot(record, null, snapshot);
      return { volume: record.id, snapshot: snapshot.id };
    });
  }

  @OnRequest('snapshot.revert')
  revert(
    @Payload() request: SnapshotRequest,
    @Ctx() context: MessageContext,
  ): Promise<VolumeView | OperationAccepted> {
    return this.run<VolumeView>('snapshot.revert', request.wait, context, async () => {
      const record = await this.service.volumes.find(request.volume);
      const snapshot = findSnapshot(record, request.snapshot);
      if (record.operation === null) assertCanRevert(record, null);
      return { volume: record.id, snapshot: snapshot.id };
    });
  }

  private run<T>(
    kind: string,
    wait: boolean | undefined,
    context: MessageContext,
    prepare: () => Promise<Json>,
  ): Promise<T | OperationAccepted> {
    const { requestId, actor } = context.facts;
    return runOperation<T>(this.service.runner, { kind, actor, requestId, wait, prepare });
  }
}
