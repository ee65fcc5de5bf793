import {
  AttachVolumeRequest,
  ChangeVolumeRequest,
  CreateVolumeRequest,
  DeleteVolumeRequest,
  type DryRun,
  ExpandVolumeRequest,
  ListVolumesRequest,
  type OperationAccepted,
  type VolumeRecord,
  SetContentRequest,
  UpdateVolumeRequest,
  VolumeReference,
  type VolumeSourceRequest,
  type VolumeView,
  lariatError,
  toPlacementPolicy,
  toVolumeView,
  withQos,
} from '@lariat/contracts';
import { type Json, roundUpToCluster } from '@lariat/kernel';
import { EncodedJson, MessageContext, OnRequest } from '@lariat/messaging';
import { encodePage, listPage } from '@lariat/read-model';
import { runOperation } from '@lariat/saga';
import { Controller, Inject } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { VOLUME_SERVICE, type VolumeService } from '../app-tokens.js';
import { isAsFor } from '../domain/attachment-hosts.js';
import {
  assertCanAttach,
  assertCanClone,
  assertCanDelete,
  assertCanDetach,
  assertCanExpand,
  assertCanUpdate,
  assertImageFits,
  findSnapshot,
} from '../domain/preconditions.js';
import { volumeFacets } from '../domain/volume-list.js';

const DEFAULT_REPLICAS = 3;
/** As long as a caller is waited with; the operation goes on after it. */
const SCALE_TIMEOUT_MS = 10 * 60_000;

const qosOf = ({ qos }: CreateVolumeRequest): Json =>
  qos === undefined ? null : { ...withQos(undefined, qos) };

@Controller()
export class VolumeController {
  constructor(@Inject(VOLUME_SERVICE) private readonly service: VolumeService) {}

  @OnRequest('volume.get')
  async get(@Payload() request: VolumeReference): Promise<VolumeView> {
    return toVolumeView(await this.service.volumes.find(request.volume));
  }

  @OnRequest('volume.list')
  async list(@Payload() request: ListVolumesRequest): Promise<EncodedJson> {
    const { volumes } = this.service.lists;
    return encodePage('volumes', await listPage(volumes, request, volumeFacets(request)));
  }

  @OnRequest('volume.create')
  create(
    @Payload() request: CreateVolumeRequest,
    @Ctx() context: MessageContext,
  ): Promise<VolumeView | OperationAccepted> {
    const { source, image } = request;
    if (source !== undefined && image !== undefined) {
      throw lariatError(
        'REQUEST_INVALID',
        'A volume is made from a source or from an image: give one of them.',
      );
    }
    if (source !== undefined) {
      return this.run('volume.clone', request.wait, context, () =>
        this.cloneInput(request, source),
      );
    }
    return this.run('volume.create', request.wait, context, async () => ({
      name: request.name,
      ...(await this.contentOf(request)),
      replicas: request.replicas ?? DEFAULT_REPLICAS,
      labels: request.labels ?? {},
      placement: { ...toPlacementPolicy(request.placement) },
      qos: qosOf(request),
    }));
  }

  private async contentOf({
    image,
    sizeBytes,
  }: CreateVolumeRequest): Promise<{ sizeBytes: number; image: string | null }> {
    // Validated to be there when nothing else says how large it is.
    if (image === undefined) return { sizeBytes: roundUpToCluster(sizeBytes ?? 0), image: null };
    const record = await this.service.client.request('internal.image.record', { image });
    const wantedBytes = roundUpToCluster(sizeBytes ?? record.sizeBytes);
    assertImageFits(record, wantedBytes);
    return { sizeBytes: wantedBytes, image: record.id };
  }

  /** What the request leaves out is as the source has it. */
  private async cloneInput(
    request: CreateVolumeRequest,
    { volume, snapshot: wanted }: VolumeSourceRequest,
  ): Promise<Json> {
    const source = await this.service.volumes.find(volume);
    const snapshot = wanted === undefined ? null : findSnapshot(source, wanted);
    // What holds the source now is waited for: a snapshot takes a moment, and the saga tries again.
    assertCanClone(source, source.operation, snapshot?.id ?? null);
    const leastBytes = snapshot?.sizeBytes ?? source.sizeBytes;
    const sizeBytes = roundUpToCluster(request.sizeBytes ?? leastBytes);
    if (sizeBytes < leastBytes) {
      throw lariatError(
        'VOLUME_SHRINK',
        `A clone can't be smaller than what it is made from: ${leastBytes} bytes.`,
        { volume: source.id, sizeBytes: leastBytes },
      );
    }
    return {
      name: request.name,
      sizeBytes,
      replicas: request.replicas ?? source.replicaCount,
      labels: request.labels ?? {},
      placement: { ...toPlacementPolicy(request.placement ?? source.placement) },
      qos: qosOf(request),
      source: { volume: source.id, snapshot: snapshot?.id ?? null },
    };
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
    const hostNqns = request.hostNqns?.toSorted() ?? null;
    if (hostNqns !== null && frontend !== 'nvmf') {
      throw lariatError(
        'HOST_NQNS_UNSUPPORTED',
        `hostNqns is for frontend 'nvmf': with '${frontend}' the node itself is the host. Leave it out.`,
        { frontend },
      );
    }
    const wanted = { node: request.node, frontend, hostNqns };
    const there = await this.service.volumes.find(request.volume);
    // Attached as asked for: done.
    if (isAsFor(there, wanted) && there.state === 'attached') return toVolumeView(there);
    return this.run('volume.attach', request.wait, context, async () => {
      const record = await this.service.volumes.find(request.volume);
      const force = request.force === true;
      if (!isAsFor(record, wanted)) assertCanAttach(record, null, { node: request.node, force });
      const keepsContent = request.keepsContent === true;
      return { volume: record.id, ...wanted, force, keepsContent };
    });
  }

  @OnRequest('internal.volume.set-content')
  async setContent(
    @Payload() request: SetContentRequest,
    @Ctx() { facts }: MessageContext,
  ): Promise<VolumeView> {
    const { volumes } = this.service;
    const { epoch, event, fsType = null, uuid = null, inside = false } = request;
    const { id } = await volumes.find(request.volume);
    const change = { type: 'set-content', epoch, event, fsType, uuid, inside } as const;
    const record = await volumes.change(id, null, [change], facts.actor);
    // What mkfs is run on must not be blank again after the store was lost, nor what holds a file system intended.
    await volumes.confirm(record);
    return toVolumeView(record);
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

  @OnRequest('volume.update')
  async update(
    @Payload() request: UpdateVolumeRequest,
    @Ctx() context: MessageContext,
  ): Promise<VolumeView | OperationAccepted> {
    const { qos, replicas } = request;
    if (qos === undefined && replicas === undefined) {
      throw lariatError('REQUEST_INVALID', 'The request changes nothing: give qos or replicas.');
    }
    const limited =
      qos === undefined
        ? undefined
        : await this.run('volume.update', request.wait, context, async () => {
            const record = await this.service.volumes.find(request.volume);
            assertCanUpdate(record, record.operation);
            return { volume: record.id, qos: { ...withQos(record.qos, qos) } };
          });
    return replicas === undefined && limited !== undefined
      ? limited
      : this.scale(request, replicas ?? 0, context);
  }

  /** The number of replicas is replica-svc's work; answered when they are there. */
  private async scale(
    request: UpdateVolumeRequest,
    replicas: number,
    { facts: { requestId } }: MessageContext,
  ): Promise<VolumeView | OperationAccepted> {
    const record = await this.service.volumes.find(request.volume);
    return this.service.client.request(
      'internal.volume.scale',
      {
        volume: record.id,
        replicas,
        ...(request.wait === undefined ? {} : { wait: request.wait }),
      },
      {
        timeoutMs: SCALE_TIMEOUT_MS,
        ...(requestId === undefined ? {} : { requestId: `${requestId}/replicas` }),
      },
    );
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
        ...(record.clones ?? []).map(
          ({ name }) => `leave what it shares with its clone '${name}' to that`,
        ),
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
