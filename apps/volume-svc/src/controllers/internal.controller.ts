import {
  ChangeVolumeRecordRequest,
  EngineReportRequest,
  ImageUsersRequest,
  LendSnapshotRequest,
  type OperationAccepted,
  type RequestMap,
  type SnapshotView,
  type VolumeChange,
  type VolumeRecord,
  VolumeRecordRequest,
  hasCode,
} from '@lariat/contracts';
import { MessageContext, OnRequest } from '@lariat/messaging';
import { runOperation } from '@lariat/saga';
import { Controller, Inject } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { VOLUME_SERVICE, type VolumeService } from '../app-tokens.js';
import { inSyncOf } from '../domain/replica-changes.js';
import { acceptReport } from '../domain/engine-report.js';

/** What decides which replicas count: it is kept beside them before it is answered. */
const CHANGES_REPLICAS: ReadonlySet<VolumeChange['type']> = new Set([
  'put-replica',
  'drop-replica',
  'retire-replica',
  'fault-replica',
  'sync-replica',
]);

/** Requests of Lariat's other parts. */
@Controller()
export class InternalController {
  constructor(@Inject(VOLUME_SERVICE) private readonly service: VolumeService) {}

  @OnRequest('internal.volume.record')
  async record(@Payload() request: VolumeRecordRequest): Promise<VolumeRecord> {
    const record = await this.service.volumes.find(request.volume);
    return request.fresh ? (await this.service.volumes.findFresh(record.id)).value : record;
  }

  /** Whoever deletes the image counts on it: a volume that another instance has just begun to make is among them. */
  @OnRequest('internal.volume.users-of-image')
  async usersOfImage(
    @Payload() { image }: ImageUsersRequest,
  ): Promise<RequestMap['internal.volume.users-of-image']['reply']> {
    const records = await this.service.volumes.listFresh();
    return {
      volumes: records.flatMap(({ id, name, image: its = null }) =>
        its === image ? { id, name } : [],
      ),
    };
  }

  @OnRequest('internal.volume.lend-snapshot')
  lendSnapshot(
    @Payload() request: LendSnapshotRequest,
    @Ctx() { facts }: MessageContext,
  ): Promise<SnapshotView | OperationAccepted> {
    const { volume, snapshot = null, image, name, borrower, wait } = request;
    return runOperation<SnapshotView>(this.service.runner, {
      ...{ kind: 'snapshot.lend', actor: facts.actor, requestId: facts.requestId, wait },
      prepare: () => ({ volume, snapshot, image, name, borrower }),
    });
  }

  @OnRequest('internal.volume.change')
  async change(
    @Payload() request: ChangeVolumeRecordRequest,
    @Ctx() { facts }: MessageContext,
  ): Promise<VolumeRecord> {
    const { volume, operation, changes } = request;
    const { volumes } = this.service;
    const record = await volumes.change(volume, operation, changes, facts.actor);
    if (changes.some(({ type }) => CHANGES_REPLICAS.has(type)) && record.state !== 'deleting')
      await volumes.confirm(
        record,
        changes.flatMap((one) => (one.type === 'put-replica' ? [one.replica.id] : [])),
      );
    return record;
  }

  /** An engine has lost legs: they leave the in-sync set, on record, before this is answered. */
  @OnRequest('internal.volume.report-engine')
  async reportEngine(
    @Payload() report: EngineReportRequest,
    @Ctx() { facts }: MessageContext,
  ): Promise<{ inSync: readonly string[] }> {
    const { volumes, clock } = this.service;
    const atMs = clock.nowMs();
    let record = await volumes.change(
      report.volume,
      null,
      (current) => acceptReport(current, report),
      facts.actor,
    );
    for (const { replica, reason } of report.lost) {
      const faulted: VolumeChange = { type: 'fault-replica', replica, reason, atMs };
      record = await volumes
        .change(report.volume, null, [faulted], facts.actor)
        // The last one keeps its mark: the engine has no other leg either, and says so with I/O errors.
        .catch((error: unknown) => {
          if (hasCode(error, 'LAST_REPLICA')) return record;
          throw error;
        });
    }
    // And beside the replicas that are left: an engine that is told so goes on without the lost ones.
    if (report.lost.length > 0) await volumes.confirm(record);
    return { inSync: inSyncOf(record) };
  }
}
