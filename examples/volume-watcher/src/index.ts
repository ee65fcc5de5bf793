import { type LariatEvent, pluginSubject } from '@lariat/contracts';
import { OnLariatEvent } from '@lariat/messaging';
import { PLUGIN_CONTEXT, type PluginContext, definePlugin } from '@lariat/plugin';
import { Controller, Inject, Module } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';

/** Says what happens to volumes, and tells whoever listens. What a plugin says is below `lariat.v1.plugin.` and its name. */
@Controller()
class VolumeWatcher {
  constructor(@Inject(PLUGIN_CONTEXT) private readonly context: PluginContext) {}

  @OnLariatEvent('volume.*.*', { durable: 'volumes' })
  onVolumeEvent(@Payload() event: LariatEvent): void {
    const { type, objectId: volume, at, data } = event;
    this.context.log.info('volume event', { volume, type, at, data });
    const seen = pluginSubject('volume-watcher.seen');
    this.context.connection.publish(seen, JSON.stringify({ volume, type }));
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
