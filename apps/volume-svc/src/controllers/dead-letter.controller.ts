import { type DeadLetterView, ListDeadLettersRequest } from '@lariat/contracts';
import { OnRequest, readDeadLetters } from '@lariat/messaging';
import { Controller, Inject } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { VOLUME_SERVICE, type VolumeService } from '../app-tokens.js';

const DEFAULT_LIMIT = 100;

/** Messages of all services that could not be handled: they share one stream. */
@Controller()
export class DeadLetterController {
  constructor(@Inject(VOLUME_SERVICE) private readonly service: VolumeService) {}

  @OnRequest('dead-letter.list')
  list(
    @Payload() request: ListDeadLettersRequest,
  ): Promise<{ readonly deadLetters: readonly DeadLetterView[]; readonly kept: number }> {
    return readDeadLetters(this.service.client.connection, request.limit ?? DEFAULT_LIMIT);
  }
}
