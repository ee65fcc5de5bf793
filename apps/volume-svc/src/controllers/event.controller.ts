import { SERVICE_NAMES } from '@lariat/bus';
import { OpenEventConsumerRequest, lariatError } from '@lariat/contracts';
import { OnRequest, makeEventConsumer } from '@lariat/messaging';
import { Controller, Inject } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { VOLUME_SERVICE, type VolumeService } from '../app-tokens.js';

/** For plugins, which may hear events and may not say to JetStream where to deliver them. */
@Controller()
export class EventController {
  constructor(@Inject(VOLUME_SERVICE) private readonly service: VolumeService) {}

  @OnRequest('internal.event.open-consumer')
  async openConsumer(
    @Payload() { consumer, filter }: OpenEventConsumerRequest,
  ): Promise<Readonly<Record<string, never>>> {
    if (SERVICE_NAMES.some((service) => consumer.startsWith(`${service}-`)))
      throw lariatError(
        'CONSUMER_NAME_RESERVED',
        `'${consumer}' is a name of one of Lariat's own services; give the plugin another name.`,
        { consumer },
      );
    await makeEventConsumer(this.service.client.connection, consumer, filter);
    return {};
  }
}
