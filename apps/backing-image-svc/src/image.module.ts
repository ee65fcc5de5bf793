import { BUCKETS } from '@lariat/contracts';
import { InventoryWatch, Lease, RecordCopies, relayEvents } from '@lariat/messaging';
import { type PluginContext, startSagas } from '@lariat/plugin';
import type { DynamicModule, OnApplicationShutdown } from '@nestjs/common';
import { ImageStore } from './adapters/image-store.js';
import { PipelineImporter } from './adapters/import/pipeline-importer.js';
import { sweepScratch } from './adapters/scratch/scratch-folder.js';
import { IMAGE_SERVICE, type ImageService } from './app-tokens.js';
import { ImageController } from './controllers/image.controller.js';
import { InternalController } from './controllers/internal.controller.js';
import { IMAGE_LIST } from './domain/image-list.js';
import { imageSettingsFrom } from './domain/import-settings.js';
import { CloneCounts } from './reconcilers/clone-counts.js';
import { CopyEviction } from './reconcilers/evict-copies.js';
import { IMAGE_COPIES } from './domain/record-copies.js';
import { CopyKeeper } from './reconcilers/keep-copies.js';
import { RecordKeeper } from './reconcilers/keep-records.js';
import { CopySweep } from './reconcilers/sweep-copies.js';
import { imageSagas } from './sagas/image-sagas.js';

/** Stops what the module started when Nest shuts down. */
class Shutdown implements OnApplicationShutdown {
  constructor(private readonly stop: () => Promise<void>) {}

  onApplicationShutdown(): Promise<void> {
    return this.stop();
  }
}

export class BackingImageModule {
  static async register(context: PluginContext): Promise<DynamicModule> {
    const { connection, client, commands, clock, log, instance, reconciled: counts } = context;
    const settings = imageSettingsFrom(process.env);
    await sweepScratch(settings.scratch);
    const images = await ImageStore.open(
      connection,
      clock,
      new RecordCopies(IMAGE_COPIES, commands, clock, log),
    );
    const importer = new PipelineImporter(settings, process.env, connection);
    const stopping = new AbortController();
    const readers = new Map<string, number>();
    const deps = { images, importer, clock, stopping: stopping.signal, readers };
    const sagas = await startSagas(context, imageSagas(deps));
    const { runner, store: operations } = sagas;
    const keeping = {
      ...{ images, operations, runner, client, commands, clock, settings, log, counts },
    };
    const clones = new CloneCounts();
    const eviction = new CopyEviction(keeping, clones);
    const sweep = new CopySweep(keeping);
    const keeper = new CopyKeeper(keeping, clones, eviction);
    const records = new RecordKeeper(keeping);
    // Any instance is asked which copies are idle, not only the one that has the duty.
    const counting = new InventoryWatch(
      connection,
      (told) => Promise.resolve(clones.hear(told)),
      log,
    );
    void counting.whileHeld(stopping.signal);
    const inventories = new InventoryWatch(
      connection,
      async (told) => {
        await records.consider(told);
        await sweep.consider(told);
      },
      log,
    );
    const lease = await Lease.start({
      connection,
      name: 'backing-image-svc',
      instance,
      log,
      whileHeld: async (signal) => {
        await Promise.all([
          relayEvents({ connection, bucket: BUCKETS.images, log }, signal),
          inventories.whileHeld(signal),
          keeper.keep(signal),
        ]);
      },
    });
    const listed = context.lists.of(images.source, IMAGE_LIST);
    const service: ImageService = { ...keeping, listed, eviction };
    const stop = async (): Promise<void> => {
      stopping.abort();
      await runner.stop();
      inventories.stop();
      counting.stop();
      await importer.close();
      await lease.stop();
    };
    return {
      module: BackingImageModule,
      controllers: [ImageController, InternalController],
      providers: [
        { provide: IMAGE_SERVICE, useValue: service },
        { provide: Shutdown, useValue: new Shutdown(stop) },
      ],
    };
  }
}
