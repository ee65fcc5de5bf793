import { BUCKETS, type Inventory } from '@lariat/contracts';
import { DELETED_KEEP_MS, InventoryWatch, Lease, MarkBucket, relayEvents } from '@lariat/messaging';
import { type PluginContext, startSagas } from '@lariat/plugin';
import type { DynamicModule, OnApplicationShutdown } from '@nestjs/common';
import { Allocator } from './adapters/allocator.js';
import { RoomMaker } from './adapters/make-room.js';
import { ImageRecords } from './adapters/image-records.js';
import { NodeStore } from './adapters/node-store.js';
import { observeCluster } from './adapters/observe-cluster.js';
import { OrphanStore } from './adapters/orphan-store.js';
import { StoreRecords } from './adapters/store-records.js';
import { VolumeView } from './adapters/volume-view.js';
import { REPLICA_SERVICE, type ReplicaService } from './app-tokens.js';
import { NodeController } from './controllers/node.controller.js';
import { OrphanController } from './controllers/orphan.controller.js';
import { PlacementController } from './controllers/placement.controller.js';
import { ReplicaController } from './controllers/replica.controller.js';
import { rebuildPolicyFrom } from './domain/due-rebuild.js';
import { NODE_LIST, ORPHAN_LIST } from './domain/node-list.js';
import { holds, orphanPolicyFrom } from './domain/orphans.js';
import type { RunningRebuild } from './domain/rebuild-load.js';
import { Adoption } from './reconcilers/adopt-lost.js';
import { deleteOrphans } from './reconcilers/delete-orphans.js';
import { OrphanSearch } from './reconcilers/find-orphans.js';
import { endLeases } from './reconcilers/end-leases.js';
import { keepImagePromises } from './reconcilers/keep-image-promises.js';
import { keepPromises } from './reconcilers/keep-promises.js';
import { NodeWatch } from './reconcilers/watch-nodes.js';
import { rebuildDegraded } from './reconcilers/rebuild-degraded.js';
import { removeSurplus } from './reconcilers/remove-surplus.js';
import { StraySweep } from './reconcilers/sweep-strays.js';
import { replicaSagas } from './sagas/replica-sagas.js';

/** Stops what the module started when Nest shuts down. */
class Shutdown implements OnApplicationShutdown {
  constructor(private readonly stop: () => Promise<void>) {}

  onApplicationShutdown(): Promise<void> {
    return this.stop();
  }
}

export class ReplicaSvcModule {
  static async register(context: PluginContext): Promise<DynamicModule> {
    const { connection, client, commands, clock, log, instance, reconciled: counts } = context;
    const policy = rebuildPolicyFrom(process.env);
    const orphanPolicy = orphanPolicyFrom(process.env);
    const nodes = await NodeStore.open(connection, clock);
    const volumes = await VolumeView.open(connection, client, clock);
    const allocator = await Allocator.open(
      connection,
      nodes,
      clock,
      volumes,
      new RoomMaker(client, log),
    );
    const { limitMibPerSecond, stallMs } = policy;
    const images = await ImageRecords.open(connection, clock);
    const stores = await StoreRecords.open(connection, clock);
    const orphans = await OrphanStore.open(connection, clock);
    const told = new Map<string, Inventory>();
    const isHeld = (node: string, replica: string): boolean =>
      holds(told.get(node)?.replicas ?? [])(replica);
    const deps = {
      volumes,
      nodes,
      allocator,
      images,
      orphans,
      isHeld,
      clock,
      limitMibPerSecond,
      stallMs,
    };
    const sagas = await startSagas(context, replicaSagas(deps));
    const running = function* (): Iterable<RunningRebuild & { readonly subject: string }> {
      for (const { value } of sagas.store.running()) yield value;
    };
    const watch = new NodeWatch({ connection, nodes, instance, clock, log, counts });
    const deleted = await MarkBucket.open(connection, BUCKETS.deleted, DELETED_KEEP_MS);
    const sweep = new StraySweep(commands, volumes, deleted, clock, log, counts);
    const adoption = new Adoption(commands, volumes, images, clock, log, counts);
    const search = new OrphanSearch(orphans, volumes, images, deleted, clock, log);
    const inventories = new InventoryWatch(
      connection,
      async (inventory) => {
        told.set(inventory.node, inventory);
        await search.consider(inventory);
        await adoption.consider(inventory);
        await sweep.consider(inventory);
      },
      log,
    );
    const isAbsent = (node: string, replica: string): boolean =>
      told.get(node)?.replicas.every((held) => held.replica !== replica) === true;
    const lease = await Lease.start({
      connection,
      name: 'replica-svc',
      instance,
      log,
      whileHeld: async (signal) => {
        const { metrics } = context;
        const nowMs = (): number => clock.nowMs();
        const endTelling = observeCluster({
          connection,
          nodes,
          allocator,
          orphans,
          metrics,
          nowMs,
        });
        try {
          await Promise.all([
            relayEvents({ connection, bucket: BUCKETS.nodes, log }, signal),
            relayEvents({ connection, bucket: BUCKETS.orphans, log }, signal),
            watch.judge(signal),
            inventories.whileHeld(signal),
            rebuildDegraded(
              { volumes, nodes, running, client, clock, log, policy, counts },
              signal,
            ),
            // Like a rebuild, it is begun on request alone where that is wanted.
            policy.byItself
              ? removeSurplus({ volumes, nodes, running, client, clock, log, counts }, signal)
              : Promise.resolve(),
            keepPromises({ allocator, volumes, nodes, isAbsent, clock, counts, log }, signal),
            keepImagePromises(
              { allocator, nodes, told: () => told.values(), client, clock, counts, log },
              signal,
            ),
            deleteOrphans(
              { orphans, nodes, client, clock, counts, log, policy: orphanPolicy },
              signal,
            ),
            endLeases({ allocator, volumes, counts, log }, signal),
          ]);
        } finally {
          endTelling();
        }
      },
    });
    const { store: operations, runner } = sagas;
    const lists = {
      nodes: context.lists.of(nodes.source, NODE_LIST),
      orphans: context.lists.of(orphans.source, ORPHAN_LIST),
    };
    const service: ReplicaService = {
      ...{ ...deps, stores, orphanPolicy, lists, operations, runner, client },
    };
    const stop = async (): Promise<void> => {
      await sagas.runner.stop();
      watch.stop();
      inventories.stop();
      await lease.stop();
    };
    return {
      module: ReplicaSvcModule,
      controllers: [NodeController, OrphanController, PlacementController, ReplicaController],
      providers: [
        { provide: REPLICA_SERVICE, useValue: service },
        { provide: Shutdown, useValue: new Shutdown(stop) },
      ],
    };
  }
}
