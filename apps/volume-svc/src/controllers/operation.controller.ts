import {
  ListOperationsRequest,
  OperationReference,
  type OperationView,
  WaitOperationRequest,
} from '@lariat/contracts';
import { EncodedJson, MessageContext, OnRequest } from '@lariat/messaging';
import { encodePage, listPage } from '@lariat/read-model';
import { assertCancellable, operationNotFound, toOperationView } from '@lariat/saga';
import { Controller, Inject } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { VOLUME_SERVICE, type VolumeService } from '../app-tokens.js';
import { operationFacets } from '../domain/operation-list.js';

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

  /** Whoever runs the operation hears of it, and undoes it unless it is past that by then. */
  @OnRequest('operation.cancel')
  async cancel(
    @Payload() request: OperationReference,
    @Ctx() context: MessageContext,
  ): Promise<OperationView> {
    const found = await this.service.operations.find(request.operation);
    if (found === undefined) throw operationNotFound(request.operation);
    const view = toOperationView(found.value);
    if (view.error?.code === 'OPERATION_CANCELLED') return view;
    assertCancellable(view);
    await this.service.cancels.ask(view.id, context.facts.actor);
    return view;
  }

  @OnRequest('operation.list')
  async list(@Payload() request: ListOperationsRequest): Promise<EncodedJson> {
    const { operations } = this.service.lists;
    return encodePage('operations', await listPage(operations, request, operationFacets(request)));
  }

  @OnRequest('operation.wait')
  async wait(@Payload() request: WaitOperationRequest): Promise<OperationView> {
    return toOperationView(
      await this.service.runner.wait(request.operation, request.timeoutMs ?? DEFAULT_WAIT_MS),
    );
  }
}
