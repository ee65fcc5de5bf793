import {
  AttachVolumeRequest,
  ChangeVolumeRequest,
  CreateVolumeRequest,
  DeleteVolumeRequest,
  type DryRun,
  ExpandVolumeRequest,
  type OperationAccepted,
  VolumeReference,
  type VolumeView,
  toVolumeView,
} from '@lariat/contracts';
import { type Json, roundUpToCluster } from '@lariat/kernel';
import { MessageContext, OnRequest } from '@lariat/messaging';
import { runOperation } from '@lariat/saga';
import { Controller, Inject } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { VOLUME_SERVICE, type VolumeService } from '../app-tokens.js';
import { assertCanAttach, assertCanDelete, assertCanDetach, assertCanExpand } from '../domain/preconditions.js';

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
  async create(@Payload() request: CreateVolumeRequest, @Ctx() context: MessageContext): Promise<VolumeView | OperationAccepted> {
    const input = {
      name: request.name,
      sizeBytes: roundUpToCluster(request.sizeBytes),
      replicas: request.replicas ?? DEFAULT_REPLICAS,
      labels: request.labels ?? {},
    };
    return this.run('volume.create', input, request.wait, context, request.name);
  }

  @OnRequest('volume.delete')
  async delete(
    @Payload() request: DeleteVolumeRequest,
    @Ctx() context: MessageContext,
  ): Promise<VolumeView | OperationAccepted | DryRun> {
    const record = await this.service.volumes.find(request.volume);
    if (request.dryRun === true) {
      assertCanDelete(record, null);
      return {
        dryRun: true,
        would: [
          `delete volume '${record.name}' (${record.sizeBytes} bytes)`,
          ...record.snapshots.filter(({ user }) => user).map(({ name }) => `delete its snapshot '${name}'`),
          ...record.replicas.map(({ id, node }) => `delete its replica ${id} on node '${node}'`),
        ],
      };
    }
    if (record.state !== 'deleting') assertCanDelete(record, record.operation);
    const { facts } = context;
    const started = { kind: 'volume.delete', input: { volume: record.id }, actor: facts.actor, requestId: facts.requestId };
    return runOperation(this.service.runner, { ...started, wait: request.wait }, () => toVolumeView({ ...record, state: 'deleting' }));
  }

  @OnRequest('volume.attach')
  async attach(@Payload() request: AttachVolumeRequest, @Ctx() context: MessageContext): Promise<VolumeView | OperationAccepted> {
    const record = await this.service.volumes.find(request.volume);
    const { attachment } = record;
    const frontend = request.frontend ?? 'nvmf';
    const same = attachment !== null && attachment.node === request.node && attachment.frontend === frontend;
    // Attached as asked for: done.
    if (same && record.state === 'attached') return toVolumeView(record);
    if (!same) assertCanAttach(record, null, request.node);
    const input = { volume: record.id, node: request.node, frontend };
    return this.run('volume.attach', input, request.wait, context, record.id);
  }

  @OnRequest('volume.detach')
  async detach(@Payload() request: ChangeVolumeRequest, @Ctx() context: MessageContext): Promise<VolumeView | OperationAccepted> {
    const record = await this.service.volumes.find(request.volume);
    if (record.state !== 'detaching') assertCanDetach(record, null);
    return this.run('volume.detach', { volume: record.id }, request.wait, context, record.id);
  }

  @OnRequest('volume.expand')
  async expand(@Payload() request: ExpandVolumeRequest, @Ctx() context: MessageContext): Promise<VolumeView | OperationAccepted> {
    const record = await this.service.volumes.find(request.volume);
    const sizeBytes = roundUpToCluster(request.sizeBytes);
    assertCanExpand(record, record.operation, sizeBytes);
    if (sizeBytes === record.sizeBytes) return toVolumeView(record);
    return this.run('volume.expand', { volume: record.id, sizeBytes }, request.wait, context, record.id);
  }

  private async run(
    kind: string,
    input: Json,
    wait: boolean | undefined,
    context: MessageContext,
    reference: string,
  ): Promise<VolumeView | OperationAccepted> {
    const { requestId, actor } = context.facts;
    return runOperation(this.service.runner, { kind, input, actor, requestId, wait }, async () =>
      toVolumeView(await this.service.volumes.find(reference)),
    );
  }
}

