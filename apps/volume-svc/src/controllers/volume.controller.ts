import {
  AttachVolumeRequest,
  ChangeVolumeRequest,
  CreateVolumeRequest,
  DeleteVolumeRequest,
  type DryRun,
  ExpandVolumeRequest,
  type OperationAccepted,
  type VolumeRecord,
  VolumeReference,
  type VolumeView,
  toPlacementPolicy,
  toVolumeView,
} from '@lariat/contracts';
import { type Json, roundUpToCluster } from '@lariat/kernel';
import { MessageContext, OnRequest } from '@lariat/messaging';
import { runOperation } from '@lariat/saga';
import { Controller, Inject } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { VOLUME_SERVICE, type VolumeService } from '../app-tokens.js';
import {
  assertCanAttach,
  assertCanDelete,
  assertCanDetach,
  assertCanExpand,
} from '../domain/preconditions.js';

const DEFAULT_REPLICAS = 3;

@Controller()
export class VolumeController {
  constructor(@Inject(VOLUME_SERVICE) private readonly service: VolumeService) {}

  @OnRequest('volume.get')
  async get(@Payload() request: VolumeReference): Promise<VolumeView> {
    return toVolumeView(await this.service.volumes.find(request.volume));
  }

  @OnRequest('volume.list')
  list(): { volumes: readonly VolumeView[] } {
    const volumes = this.service.volumes.list().toSorted((a, b) => a.name.localeCompare(b.name));
    return { volumes: volumes.map(toVolumeView) };
  }

  @OnRequest('volume.create')
  create(
    @Payload() request: CreateVolumeRequest,
    @Ctx() context: MessageContext,
  ): Promise<VolumeView | OperationAccepted> {
    return this.run('volume.create', request.wait, context, () => ({
      name: request.name,
      sizeBytes: roundUpToCluster(request.sizeBytes),
      replicas: request.replicas ?? DEFAULT_REPLICAS,
      labels: request.labels ?? {},
      placement: { ...toPlacementPolicy(request.placement) },
    }));
  }

  @OnRequest('volume.delete')
  async delete(
    @Payload() request: DeleteVolumeRequest,
    @Ctx() context: MessageContext,
  ): Promise<VolumeView | OperationAccepted | DryRun> {
    if (request.dryRun === true)
      return this.wouldDelete(await this.service.volumes.find(request.volume));
    return this.run('volume.delete', request.wait, context, async () => {
      const record = await this.service.volumes.find(request.volume);
      // The same request that runs already is joined.
      if (record.state !== 'deleting') assertCanDelete(record, record.operation);
      return { volume: record.id };
    });
  }

  @OnRequest('volume.attach')
  async attach(
    @Payload() request: AttachVolumeRequest,
    @Ctx() context: MessageContext,
  ): Promise<VolumeView | OperationAccepted> {
    const frontend = request.frontend ?? 'nvmf';
    const isAsked = (record: VolumeRecord): boolean =>
      record.attachment?.node === request.node && record.attachment.frontend === frontend;
    const there = await this.service.volumes.find(request.volume);
    // Attached as asked for: done.
    if (isAsked(there) && there.state === 'attached') return toVolumeView(there);
    return this.run('volume.attach', request.wait, context, async () => {
      const record = await this.service.volumes.find(request.volume);
      const force = request.force === true;
      if (!isAsked(record)) assertCanAttach(record, null, { node: request.node, force });
      return { volume: record.id, node: request.node, frontend, force };
    });
  }

  @OnRequest('volume.detach')
  detach(
    @Payload() request: ChangeVolumeRequest,
    @Ctx() context: MessageContext,
  ): Promise<VolumeView | OperationAccepted> {
    return this.run('volume.detach', request.wait, context, async () => {
      const record = await this.service.volumes.find(request.volume);
      if (record.state !== 'detaching') assertCanDetach(record, null);
      return { volume: record.id };
    });
  }

  @OnRequest('volume.expand')
  async expand(
    @Payload() request: ExpandVolumeRequest,
    @Ctx() context: MessageContext,
  ): Promise<VolumeView | OperationAccepted> {
    const sizeBytes = roundUpToCluster(request.sizeBytes);
    const there = await this.service.volumes.find(request.volume);
    if (there.sizeBytes === sizeBytes && there.operation === null) return toVolumeView(there);
    return this.run('volume.expand', request.wait, context, async () => {
      const record = await this.service.volumes.find(request.volume);
      assertCanExpand(record, record.operation, sizeBytes);
      return { volume: record.id, sizeBytes };
    });
  }

  private wouldDelete(record: VolumeRecord): DryRun {
    assertCanDelete(record, null);
    return {
      dryRun: true,
      would: [
        `delete volume '${record.name}' (${record.sizeBytes} bytes)`,
        ...record.snapshots
          .filter(({ user }) => user)
          .map(({ name }) => `delete its snapshot '${name}'`),
        ...record.replicas.map(({ id, node }) => `delete its replica ${id} on node '${node}'`),
      ],
    };
  }

  private run(
    kind: string,
    wait: boolean | undefined,
    context: MessageContext,
    prepare: () => Json | Promise<Json>,
  ): Promise<VolumeView | OperationAccepted> {
    const { requestId, actor } = context.facts;
    return runOperation<VolumeView>(this.service.runner, { kind, actor, requestId, wait, prepare });
  }
}
