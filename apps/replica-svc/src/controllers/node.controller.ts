import {
  AddDiskRequest,
  ClaimStoreRequest,
  type DiskView,
  DrainNodeRequest,
  type DryRun,
  type EvacuationReport,
  type ImageView,
  ListDisksRequest,
  ListNodesRequest,
  NodeReference,
  NodeRegistration,
  OpenCommandsRequest,
  type NodeRecord,
  type NodeView,
  type OperationAccepted,
  type PageFacts,
  RemoveDiskRequest,
  type RemovedNodeView,
  RemoveNodeRequest,
  RestartTargetRequest,
  type TargetRestarted,
  UpdateDiskRequest,
  UpdateNodeRequest,
  dutyOf,
  isEnded,
  lariatError,
} from '@lariat/contracts';
import { type Json, deriveDiskId, roundUpToCluster } from '@lariat/kernel';
import { MessageContext, OnRequest, makeCommandConsumer } from '@lariat/messaging';
import { facet, listPage } from '@lariat/read-model';
import { runOperation } from '@lariat/saga';
import { Controller, Inject } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { REPLICA_SERVICE, type ReplicaService } from '../app-tokens.js';
import { assertMayClaim } from '../domain/claim-store.js';
import { nodeDraining } from '../domain/node-duty.js';
import { wouldEvacuate } from '../domain/evacuation-report.js';
import {
  type Evacuated,
  copiesLeaving,
  enginesOn,
  isOn,
  planMoves,
} from '../domain/plan-evacuation.js';
import {
  type RemovalPlan,
  assertLossAccepted,
  assertRemovable,
  planRemoval,
  wouldRemove,
} from '../domain/plan-removal.js';
import { isReadyAmong } from '../domain/returned.js';
import { toNodeView } from '../domain/node-view.js';
import { diskNotFound } from '../domain/settings.js';
import { type TargetUser, sayEffect, targetUsers } from '../domain/target-users.js';
import { assertDiskUnused } from '../sagas/disk.saga.js';

@Controller()
export class NodeController {
  constructor(@Inject(REPLICA_SERVICE) private readonly service: ReplicaService) {}

  @OnRequest('internal.node.register')
  async register(@Payload() registration: NodeRegistration): Promise<NodeRecord> {
    const node = await this.service.nodes.register(registration);
    await this.service.stores.keep(node.name, registration.disks);
    return node;
  }

  @OnRequest('internal.node.claim-store')
  async claimStore(@Payload() claim: ClaimStoreRequest): Promise<Readonly<Record<string, never>>> {
    assertMayClaim(claim, await this.service.stores.find(claim.disk), this.service.nodes.list());
    return {};
  }

  @OnRequest('internal.node.open-commands')
  async openCommands(
    @Payload() { node }: OpenCommandsRequest,
  ): Promise<Readonly<Record<string, never>>> {
    await makeCommandConsumer(this.service.client.connection, node);
    return {};
  }

  @OnRequest('node.list')
  async list(
    @Payload() request: ListNodesRequest,
  ): Promise<{ nodes: readonly NodeView[] } & PageFacts> {
    const { state } = request;
    const facets = state === undefined ? [] : [facet('state', state)];
    const { items, ...facts } = await listPage(this.service.lists.nodes, request, facets);
    return { nodes: items.map((item) => this.view(JSON.parse(item) as NodeRecord)), ...facts };
  }

  @OnRequest('node.get')
  async get(@Payload() request: NodeReference): Promise<NodeView> {
    return this.view(await this.service.nodes.find(request.node));
  }

  @OnRequest('node.cordon')
  async cordon(@Payload() request: NodeReference): Promise<NodeView> {
    return this.view(await this.turn(request.node, false));
  }

  @OnRequest('node.uncordon')
  async uncordon(@Payload() request: NodeReference): Promise<NodeView> {
    return this.view(await this.turn(request.node, true));
  }

  @OnRequest('node.update')
  async update(
    @Payload() { node: name, schedulable, ...asked }: UpdateNodeRequest,
  ): Promise<NodeView> {
    if (schedulable !== undefined) await this.turn(name, schedulable);
    return this.view(await this.service.nodes.updateNode(name, asked));
  }

  private async turn(name: string, schedulable: boolean): Promise<NodeRecord> {
    const { nodes, operations } = this.service;
    const node = await nodes.find(name);
    if (schedulable && dutyOf(node) === 'draining' && node.drain !== undefined) {
      const drain = await operations.find(node.drain);
      // One that is not on record any more ends nothing.
      if (drain !== undefined && !isEnded(drain.value.state)) throw nodeDraining(node, node.drain);
    }
    return nodes.changeDuty(name, { event: schedulable ? 'uncordon' : 'cordon' });
  }

  @OnRequest('node.drain')
  async drain(
    @Payload() request: DrainNodeRequest,
    @Ctx() { facts }: MessageContext,
  ): Promise<EvacuationReport | OperationAccepted | DryRun> {
    const { requestId, actor } = facts;
    const { name: node } = await this.service.nodes.find(request.node);
    if (request.dryRun === true) return this.wouldEvacuate({ node, disk: null });
    const prepare = (): Json => ({ node, atOnce: request.atOnce ?? 1 });
    return runOperation<EvacuationReport>(this.service.runner, {
      ...{ kind: 'node.drain', actor, requestId, wait: request.wait, prepare },
    });
  }

  private async wouldEvacuate(from: Evacuated): Promise<DryRun> {
    const { volumes, nodes, allocator, client } = this.service;
    const { images } = await client.request('image.list', {});
    const all = nodes.list();
    const isReady = isReadyAmong(all);
    const copies = copiesLeaving<ImageView>(images, from).map(({ image, copy }) => ({
      name: image.name,
      minimumCopies: image.minimumCopies,
      disk: copy.disk,
      othersReady: image.copies.filter(
        (other) => !isOn(from, other) && other.state === 'ready' && isReady(other.node),
      ).length,
    }));
    const records = volumes.list();
    const moves = planMoves(records, all, allocator.disks(), from);
    return wouldEvacuate(from, moves, copies, enginesOn(records, from));
  }

  @OnRequest('node.remove')
  async remove(
    @Payload() request: RemoveNodeRequest,
    @Ctx() { facts }: MessageContext,
  ): Promise<RemovedNodeView | OperationAccepted | DryRun> {
    const { nodes, orphans, runner } = this.service;
    const { node: name, acceptDataLoss = false, wait } = request;
    const plan = async (): Promise<RemovalPlan> => {
      const { images } = await this.service.client.request('image.list', {});
      return planRemoval(name, this.service.volumes.list(), images);
    };
    if (request.dryRun === true) {
      const node = await nodes.find(name);
      const planned = await plan();
      assertRemovable(node, planned);
      const found = orphans.list().filter((orphan) => orphan.node === name);
      return wouldRemove(node, planned, found.length);
    }
    const prepare = async (): Promise<Json> => {
      const node = await nodes.find(name);
      const planned = await plan();
      assertRemovable(node, planned);
      assertLossAccepted(name, planned, acceptDataLoss);
      return { node: name, acceptDataLoss, removed: { ...this.view(node) } } as unknown as Json;
    };
    const { requestId, actor } = facts;
    return runOperation<RemovedNodeView>(runner, {
      ...{ kind: 'node.remove', actor, requestId, wait, prepare },
    });
  }

  @OnRequest('node.restart-target')
  async restartTarget(
    @Payload() request: RestartTargetRequest,
    @Ctx() { facts }: MessageContext,
  ): Promise<TargetRestarted | DryRun | OperationAccepted> {
    const { requestId, actor } = facts;
    if (request.dryRun === true) {
      const { name, target } = await this.service.nodes.find(request.node);
      const effects = targetUsers(this.service.volumes.list(), name).map(sayEffect);
      const would = [`the target of node ${name} (${target}) is ended and started again`];
      return { dryRun: true, would: [...would, ...effects] };
    }
    const prepare = async (): Promise<Json> => {
      const node = await this.service.nodes.find(request.node);
      if (node.state === 'down') throw nodeNotReady(node);
      const users = targetUsers(this.service.volumes.list(), node.name);
      const failing = users.filter(({ effect }) => effect === 'fails');
      if (failing.length > 0 && request.force !== true) throw targetNeeded(node, failing);
      return { node: node.name };
    };
    return runOperation<TargetRestarted>(this.service.runner, {
      kind: 'node.restart-target',
      actor,
      requestId,
      wait: request.wait,
      prepare,
    });
  }

  @OnRequest('disk.list')
  async listDisks(@Payload() request: ListDisksRequest): Promise<{ disks: readonly DiskView[] }> {
    const nodes =
      request.node === undefined
        ? this.service.nodes.list()
        : [await this.service.nodes.find(request.node)];
    return { disks: nodes.flatMap((node) => this.view(node).disks) };
  }

  @OnRequest('disk.add')
  addDisk(
    @Payload() request: AddDiskRequest,
    @Ctx() { facts }: MessageContext,
  ): Promise<DiskView | OperationAccepted> {
    const { requestId, actor } = facts;
    const prepare = async (): Promise<Json> => {
      const node = await this.service.nodes.find(request.node);
      if (node.state === 'down') throw nodeNotReady(node);
      if (node.disks.some(({ path }) => path === request.path)) {
        throw lariatError(
          'DISK_TAKEN',
          `'${request.path}' is a disk of node '${node.name}' already.`,
          { node: node.name },
        );
      }
      const disk = deriveDiskId(
        node.name,
        request.path,
        requestId ?? String(this.service.clock.nowMs()),
      );
      return {
        node: node.name,
        disk,
        name: request.name ?? disk,
        path: request.path,
        tags: request.tags ?? [],
        sizeBytes: request.sizeBytes === undefined ? null : roundUpToCluster(request.sizeBytes),
        erase: request.erase ?? false,
      };
    };
    return runOperation<DiskView>(this.service.runner, {
      kind: 'disk.add',
      actor,
      requestId,
      wait: request.wait,
      prepare,
    });
  }

  @OnRequest('disk.remove')
  async removeDisk(
    @Payload() request: RemoveDiskRequest,
    @Ctx() { facts }: MessageContext,
  ): Promise<DiskView | OperationAccepted | DryRun> {
    const { requestId, actor } = facts;
    const { evacuate = false } = request;
    const find = async (): Promise<DiskView> => {
      const disk = await this.findDisk(request.node, request.disk);
      if (!evacuate) assertDiskUnused(this.service, disk.id);
      return disk;
    };
    if (request.dryRun === true) {
      const disk = await find();
      return evacuate ? this.wouldEvacuate({ node: disk.node, disk: disk.id }) : disk;
    }
    const prepare = async (): Promise<Json> => {
      const disk = await find();
      const { node, id } = disk;
      return { node, disk: id, removed: { ...disk }, ...(evacuate ? { evacuate } : {}) };
    };
    return runOperation<DiskView>(this.service.runner, {
      kind: 'disk.remove',
      actor,
      requestId,
      wait: request.wait,
      prepare,
    });
  }

  @OnRequest('disk.update')
  async updateDisk(@Payload() { node, disk, ...asked }: UpdateDiskRequest): Promise<DiskView> {
    const { id } = await this.findDisk(node, disk);
    await this.service.nodes.updateDisk(node, id, asked);
    return this.findDisk(node, id);
  }

  private async findDisk(name: string, reference: string): Promise<DiskView> {
    const node = this.view(await this.service.nodes.find(name));
    const found = node.disks.find(
      ({ id, name: diskName }) => id === reference || diskName === reference,
    );
    if (found === undefined) throw diskNotFound(name, reference);
    return found;
  }

  private view(node: NodeRecord): NodeView {
    return toNodeView(node, (disk) => this.service.allocator.promisedOn(disk));
  }
}

function targetNeeded({ name: node }: NodeRecord, failing: readonly TargetUser[]): Error {
  const names = failing.map(({ volume: { name } }) => name);
  return lariatError(
    'TARGET_NEEDED',
    `The target of node '${node}' has the only replica in sync of ${names.length} volume(s) that are attached elsewhere: ${names.slice(0, 10).join(', ')}. They see errors when it is away for more than 2 s. Detach them, wait until they have another replica, or use force (--force).`,
    { node, volumes: failing.map(({ volume }) => volume.id) },
  );
}

function nodeNotReady(node: NodeRecord): Error {
  return lariatError('NODE_NOT_READY', `Node '${node.name}' is ${node.state} (${node.reason}).`, {
    node: node.name,
  });
}
