import type { LariatEvent } from '@lariat/contracts';
import { OnLariatEvent } from '@lariat/messaging';
import { PLUGIN_CONTEXT, type PluginContext, definePlugin } from '@lariat/plugin';
import { Controller, Inject, Module } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';

/** Says what happens to volumes, and tells whoever listens on `watcher.seen`. */
@Controller()
class VolumeWatcher {
  constructor(@Inject(PLUGIN_CONTEXT) private readonly context: PluginContext) {}

  @OnLariatEvent('volume.*.*', { durable: 'volumes' })
  onVolumeEvent(@Payload() event: LariatEvent): void {
    const { type, objectId: volume, at, data } = event;
    this.context.log.info('volume event', { volume, type, at, data });
    this.context.connection.publish('watcher.seen', JSON.stringify({ volume, type }));
  }
}

@Module({ controllers: [VolumeWatcher] })
class VolumeWatcherModule {}

export const plugin = definePlugin({
  name: 'volume-watcher',
  version: '0.1.0',
  description: 'Logs what happens to volumes',
  module: VolumeWatcherModule,
});
