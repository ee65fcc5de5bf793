import { BUCKETS } from '@lariat/contracts';
import { InventoryWatch, Lease, RecordCopies, relayEvents } from '@lariat/messaging';
import { type PluginContext, type Sagas, startSagas } from '@lariat/plugin';
import type { DynamicModule, OnApplicationShutdown } from '@nestjs/common';
import { observeVolumes } from './adapters/observe-volumes.js';
import { VolumeStore } from './adapters/volume-store.js';
import { VOLUME_SERVICE, type VolumeService } from './app-tokens.js';
import { AuditController } from './controllers/audit.controller.js';
import { DeadLetterController } from './controllers/dead-letter.controller.js';
import { EventController } from './controllers/event.controller.js';
import { InternalController } from './controllers/internal.controller.js';
import { OperationController } from './controllers/operation.controller.js';
import { RecoveryController } from './controllers/recovery.controller.js';
import { SnapshotController } from './controllers/snapshot.controller.js';
import { VolumeController } from './controllers/volume.controller.js';
import { OPERATION_LIST } from './domain/operation-list.js';
import { SNAPSHOT_LIST, VOLUME_LIST } from './domain/volume-list.js';
import { VOLUME_COPIES } from './domain/record-copies.js';
import { AbsentReplicas } from './reconcilers/fault-absent.js';
import { endLoans } from './reconcilers/end-loans.js';
import { CopyKeeper } from './reconcilers/keep-copies.js';
import { releaseClaims } from './reconcilers/release-claims.js';
import { sweepCloneSnapshots } from './reconcilers/sweep-clone-snapshots.js';
import { volumeSagas } from './sagas/volume-sagas.js';

/** Stops what the module started when Nest shuts down. */
class Shutdown implements OnApplicationShutdown {
  constructor(
    private readonly sagas: Sagas,
    private readonly lease: Lease,
    private readonly inventories: InventoryWatch,
  ) {}

  async onApplicationShutdown(): Promise<void> {
    await this.sagas.runner.stop();
    this.inventories.stop();
    await this.lease.stop();
  }
}

export class VolumeSvcModule {
  static async register(context: PluginContext): Promise<DynamicModule> {
    const { connection, client, commands, clock, log, instance, reconciled: counts } = context;
    const copies = new RecordCopies(VOLUME_COPIES, commands, clock, log);
    const volumes = await VolumeStore.open(connection, clock, copies);
    const deps = { volumes, clock };
    const sagas = await startSagas(context, volumeSagas(deps));
    const keeper = new CopyKeeper(volumes, log, counts);
    const faults = new AbsentReplicas(volumes, clock, log, counts);
    const inventories = new InventoryWatch(
      connection,
      async (told) => {
        await keeper.consider(told);
        await faults.consider(told);
      },
      log,
    );
    const lease = await Lease.start({
      connection,
      name: 'volume-svc',
      instance,
      log,
      whileHeld: async (signal) => {
        const endTelling = observeVolumes(volumes, context.metrics);
        const relayed = [BUCKETS.volumes, BUCKETS.operations];
        try {
          await Promise.all([
            ...relayed.map((bucket) => relayEvents({ connection, bucket, log }, signal)),
            inventories.whileHeld(signal),
            releaseClaims({ volumes, operations: sagas.store, clock, counts, log }, signal),
            endLoans({ volumes, operations: sagas.store, clock, counts, log }, signal),
            sweepCloneSnapshots({ list: () => volumes.list(), client, clock, log, counts }, signal),
          ]);
        } finally {
          endTelling();
        }
      },
    });
    const service: VolumeService = {
      volumes,
      operations: sagas.store,
      lists: {
        volumes: context.lists.of(volumes.source, VOLUME_LIST),
        snapshots: context.lists.of(volumes.source, SNAPSHOT_LIST),
        operations: context.lists.of(sagas.store.source, OPERATION_LIST),
      },
      cancels: sagas.cancels,
      runner: sagas.runner,
      clock,
      client,
      commands,
    };
    return {
      module: VolumeSvcModule,
      controllers: [
        VolumeController,
        SnapshotController,
        OperationController,
        InternalController,
        RecoveryController,
        DeadLetterController,
        EventController,
        AuditController,
      ],
      providers: [
        { provide: VOLUME_SERVICE, useValue: service },
        { provide: Shutdown, useValue: new Shutdown(sagas, lease, inventories) },
      ],
    };
  }
}
