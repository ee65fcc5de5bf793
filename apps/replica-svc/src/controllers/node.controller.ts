import {
  AddDiskRequest,
  ClaimStoreRequest,
  type DryRun,
  type DiskView,
  ListDisksRequest,
  NodeReference,
  NodeRegistration,
  type NodeRecord,
  type NodeView,
  type OperationAccepted,
  RemoveDiskRequest,
  type RemovedNodeView,
  RemoveNodeRequest,
  UpdateDiskRequest,
  UpdateNodeRequest,
  lariatError,
} from '@lariat/contracts';
import { type Json, deriveDiskId, roundUpToCluster } from '@lariat/kernel';
import { MessageContext, OnRequest } from '@lariat/messaging';
import { runOperation } from '@lariat/saga';
import { Controller, Inject } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { REPLICA_SERVICE, type ReplicaService } from '../app-tokens.js';
import { assertMayClaim } from '../domain/claim-store.js';
import {
  type RemovalPlan,
  assertLossAccepted,
  assertRemovable,
  planRemoval,
  wouldRemove,
} from '../domain/plan-removal.js';
import { toNodeView } from '../domain/node-view.js';
import { diskNotFound } from '../domain/settings.js';
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

  @OnRequest('node.list')
  list(): { nodes: readonly NodeView[] } {
    return { nodes: this.service.nodes.list().map((node) => this.view(node)) };
  }

  @OnRequest('node.get')
  async get(@Payload() request: NodeReference): Promise<NodeView> {
    return this.view(await this.service.nodes.find(request.node));
  }

  @OnRequest('node.cordon')
  async cordon(@Payload() request: NodeReference): Promise<NodeView> {
    return this.view(await this.service.nodes.updateNode(request.node, { schedulable: false }));
  }

  @OnRequest('node.uncordon')
  async uncordon(@Payload() request: NodeReference): Promise<NodeView> {
    return this.view(await this.service.nodes.updateNode(request.node, { schedulable: true }));
  }

  @OnRequest('node.update')
  async update(@Payload() { node, ...asked }: UpdateNodeRequest): Promise<NodeView> {
    return this.view(await this.service.nodes.updateNode(node, asked));
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
  ): Promise<DiskView | OperationAccepted> {
    const { requestId, actor } = facts;
    const findUnused = async (): Promise<DiskView> => {
      const disk = await this.findDisk(request.node, request.disk);
      assertDiskUnused(this.service, disk.id);
      return disk;
    };
    if (request.dryRun === true) return findUnused();
    const prepare = async (): Promise<Json> => {
      const disk = await findUnused();
      return { node: disk.node, disk: disk.id, removed: { ...disk } };
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

function nodeNotReady(node: NodeRecord): Error {
  return lariatError('NODE_NOT_READY', `Node '${node.name}' is ${node.state} (${node.reason}).`, {
    node: node.name,
  });
}
