import { type AuditEntry, ListAuditRequest } from '@lariat/contracts';
import { OnRequest, readAudit } from '@lariat/messaging';
import { Controller, Inject } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { VOLUME_SERVICE, type VolumeService } from '../app-tokens.js';

const DEFAULT_LIMIT = 100;

/** Requests to all services: they share one trail. */
@Controller()
export class AuditController {
  constructor(@Inject(VOLUME_SERVICE) private readonly service: VolumeService) {}

  @OnRequest('audit.list')
  async list(
    @Payload() { limit, ...filter }: ListAuditRequest,
  ): Promise<{ readonly entries: readonly AuditEntry[] }> {
    const { connection } = this.service.client;
    return { entries: await readAudit(connection, filter, limit ?? DEFAULT_LIMIT) };
  }
}
