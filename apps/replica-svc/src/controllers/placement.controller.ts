import {
  type Placement,
  PromiseImageCopyRequest,
  ReleaseImageCopyRequest,
  ReleaseRequest,
  ReserveGrowthRequest,
  ReserveRequest,
  RestoreAllocationsRequest,
} from '@lariat/contracts';
import { OnRequest } from '@lariat/messaging';
import { Controller, Inject } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { REPLICA_SERVICE, type ReplicaService } from '../app-tokens.js';

type Nothing = Readonly<Record<string, never>>;

/** Placement for the sagas of volume-svc and of backing-image-svc. */
@Controller()
export class PlacementController {
  constructor(@Inject(REPLICA_SERVICE) private readonly service: ReplicaService) {}

  @OnRequest('internal.placement.reserve')
  async reserve(@Payload() request: ReserveRequest): Promise<{ placements: readonly Placement[] }> {
    return { placements: await this.service.allocator.reserve(request) };
  }

  @OnRequest('internal.placement.grow')
  async grow(@Payload() request: ReserveGrowthRequest): Promise<Nothing> {
    await this.service.allocator.grow(request.replicas, request.sizeBytes);
    return {};
  }

  @OnRequest('internal.placement.restore')
  async restore(@Payload() request: RestoreAllocationsRequest): Promise<{ restored: number }> {
    const { replicas, copies = [], dryRun } = request;
    const { allocator } = this.service;
    const restored =
      (await allocator.restore(replicas, dryRun)) +
      (await allocator.restoreImageCopies(copies, dryRun));
    return { restored };
  }

  @OnRequest('internal.placement.promise-copy')
  async promiseCopy(@Payload() request: PromiseImageCopyRequest): Promise<Nothing> {
    await this.service.allocator.promiseImageCopy(request);
    return {};
  }

  @OnRequest('internal.placement.release-copy')
  async releaseCopy(@Payload() request: ReleaseImageCopyRequest): Promise<Nothing> {
    await this.service.allocator.releaseImageCopy(request);
    return {};
  }

  @OnRequest('internal.placement.release')
  async release(@Payload() request: ReleaseRequest): Promise<Nothing> {
    await this.service.allocator.release(request.replicas);
    return {};
  }
}
