import {
  ListOperationsRequest,
  OperationReference,
  type OperationView,
  WaitOperationRequest,
} from '@lariat/contracts';
import { OnRequest } from '@lariat/messaging';
import { operationNotFound, toOperationView } from '@lariat/saga';
import { Controller, Inject } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { VOLUME_SERVICE, type VolumeService } from '../app-tokens.js';

const DEFAULT_WAIT_MS = 25_000;

/** Operations of all services: they share one bucket. */
@Controller()
export class OperationController {
  constructor(@Inject(VOLUME_SERVICE) private readonly service: VolumeService) {}

  @OnRequest('operation.get')
  async get(@Payload() request: OperationReference): Promise<OperationView> {
    const found = await this.service.operations.find(request.operation);
    if (found === undefined) throw operationNotFound(request.operation);
    return toOperationView(found.value);
  }

  @OnRequest('operation.list')
  list(@Payload() request: ListOperationsRequest): { operations: readonly OperationView[] } {
    const subject = request.volume === undefined ? undefined : `volume/${request.volume}`;
    const records = [...this.service.operations.all()].filter(
      (record) => subject === undefined || record.subject === subject,
    );
    return {
      operations: records.toSorted((a, b) => a.startedAtMs - b.startedAtMs).map(toOperationView),
    };
  }

  @OnRequest('operation.wait')
  async wait(@Payload() request: WaitOperationRequest): Promise<OperationView> {
    return toOperationView(
      await this.service.runner.wait(request.operation, request.timeoutMs ?? DEFAULT_WAIT_MS),
    );
  }
}
