import { BUCKETS } from '@lariat/contracts';
import { InventoryWatch, Lease, relayEvents } from '@lariat/messaging';
import { type PluginContext, startSagas } from '@lariat/plugin';
import type { DynamicModule, OnApplicationShutdown } from '@nestjs/common';
import { ImageStore } from './adapters/image-store.js';
import { PipelineImporter } from './adapters/import/pipeline-importer.js';
import { sweepScratch } from './adapters/scratch/scratch-folder.js';
import { IMAGE_SERVICE, type ImageService } from './app-tokens.js';
import { ImageController } from './controllers/image.controller.js';
import { InternalController } from './controllers/internal.controller.js';
import { imageSettingsFrom } from './domain/import-settings.js';
import { CopyKeeper } from './reconcilers/keep-copies.js';
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
    const images = await ImageStore.open(connection, clock);
    const importer = new PipelineImporter(settings, process.env, connection);
    const stopping = new AbortController();
    const readers = new Map<string, number>();
    const deps = { images, importer, clock, stopping: stopping.signal, readers };
    const sagas = await startSagas(context, imageSagas(deps));
    const { runner, store: operations } = sagas;
    const keeping = {
      ...{ images, operations, runner, client, commands, clock, settings, log, counts },
    };
    const sweep = new CopySweep(keeping);
    const keeper = new CopyKeeper(keeping, sweep);
    const inventories = new InventoryWatch(connection, (told) => sweep.consider(told), log);
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
    const service: ImageService = { images, runner, client, clock, settings };
    const stop = async (): Promise<void> => {
      stopping.abort();
      await runner.stop();
      inventories.stop();
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
