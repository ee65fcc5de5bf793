import {
  DeleteOrphanRequest,
  type DryRun,
  ListOrphansRequest,
  type OperationAccepted,
  type OrphanOutcome,
  type OrphanRecord,
  type OrphanView,
  type PageFacts,
} from '@lariat/contracts';
import { type Json, formatBytes } from '@lariat/kernel';
import { MessageContext, OnRequest } from '@lariat/messaging';
import { listPage } from '@lariat/read-model';
import { runOperation } from '@lariat/saga';
import { Controller, Inject } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { REPLICA_SERVICE, type ReplicaService } from '../app-tokens.js';
import { orphanFacets } from '../domain/node-list.js';
import { assertDeletable, toOrphanView } from '../domain/orphans.js';
import { type DeleteOrphanInput, assertUnwanted } from '../sagas/delete-orphan.saga.js';

@Controller()
export class OrphanController {
  constructor(@Inject(REPLICA_SERVICE) private readonly service: ReplicaService) {}

  @OnRequest('orphan.list')
  async list(
    @Payload() request: ListOrphansRequest,
  ): Promise<{ orphans: readonly OrphanView[] } & PageFacts> {
    const { lists, orphanPolicy } = this.service;
    const { items, ...facts } = await listPage(lists.orphans, request, orphanFacets(request));
    const orphans = items.map((item) => JSON.parse(item) as OrphanRecord);
    return { orphans: orphans.map((orphan) => toOrphanView(orphan, orphanPolicy)), ...facts };
  }

  @OnRequest('orphan.delete')
  async delete(
    @Payload() request: DeleteOrphanRequest,
    @Ctx() { facts }: MessageContext,
  ): Promise<OrphanOutcome | OperationAccepted | DryRun> {
    if (request.dryRun === true) return wouldDelete(await this.prepare(request.orphan));
    const { requestId, actor } = facts;
    return runOperation<OrphanOutcome>(this.service.runner, {
      ...{ kind: 'orphan.delete', actor, requestId, wait: request.wait },
      prepare: async () => ({ ...(await this.prepare(request.orphan)) }) as unknown as Json,
    });
  }

  private async prepare(id: string): Promise<DeleteOrphanInput> {
    const orphan = await this.service.orphans.find(id);
    assertDeletable(orphan);
    const { node, kind, name, uuid, disk, volume } = orphan;
    const thing = { node, kind, name, uuid, disk, volume };
    await assertUnwanted(this.service, thing);
    return { orphan: id, thing, record: { ...orphan } };
  }
}

function wouldDelete({ thing, record }: DeleteOrphanInput): DryRun {
  const { sizeBytes } = record as { readonly sizeBytes: number };
  const { kind, name, uuid, node } = thing;
  return {
    dryRun: true,
    would: [
      `delete ${kind} ${name} (${formatBytes(sizeBytes)}, uuid ${uuid ?? 'none'}) on node '${node}'`,
      'leave it if a record names it by then, or another thing has its name',
    ],
  };
}
