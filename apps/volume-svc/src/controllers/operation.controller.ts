import {
  ListOperationsRequest,
  OperationReference,
  type OperationView,
  WaitOperationRequest,
  isEnded,
  lariatError,
} from '@lariat/contracts';
import { MessageContext, OnRequest } from '@lariat/messaging';
import { operationNotFound, toOperationView } from '@lariat/saga';
import { Controller, Inject } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
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
    if (!view.cancellable) throw notCancellable(view);
    await this.service.cancels.ask(view.id, context.facts.actor);
    return view;
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

function notCancellable({ id, kind, state, step }: OperationView): Error {
  const why = isEnded(state)
    ? `has ${state}`
    : state === 'undoing'
      ? 'is being undone'
      : `is at '${step ?? 'its end'}', which is not undone any more`;
  return lariatError('OPERATION_NOT_CANCELLABLE', `Operation ${id} (${kind}) ${why}.`, {
    operation: id,
    state,
    step,
  });
}
