import { type OperationAccepted, RecoverRequest, type RecoveryReport } from '@lariat/contracts';
import { newOperationId } from '@lariat/kernel';
import { MessageContext, OnRequest } from '@lariat/messaging';
import { COMMAND_TIMEOUT_MS, runOperation } from '@lariat/saga';
import { Controller, Inject } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import type { SendToNode } from '../adapters/survey-nodes.js';
import { recoverVolumes } from '../app/recover-volumes.js';
import { VOLUME_SERVICE, type VolumeService } from '../app-tokens.js';

/** What is done when the store has lost its data. */
@Controller()
export class RecoveryController {
  constructor(@Inject(VOLUME_SERVICE) private readonly service: VolumeService) {}

  @OnRequest('cluster.recover')
  async recover(
    @Payload() request: RecoverRequest,
    @Ctx() { facts }: MessageContext,
  ): Promise<RecoveryReport | OperationAccepted> {
    const { actor, requestId } = facts;
    const acceptDataLoss = request.acceptDataLoss ?? [];
    if (request.dryRun === true) {
      const { volumes, clock, client } = this.service;
      const parts = { volumes, clock, client, actor, send: this.sender() };
      return recoverVolumes(parts, { dryRun: true, acceptDataLoss });
    }
    return runOperation<RecoveryReport>(this.service.runner, {
      kind: 'cluster.recover',
      actor,
      requestId,
      wait: request.wait,
      prepare: () => ({ acceptDataLoss }),
    });
  }

  /** For a dry run, which only asks: there is no operation to send commands as. */
  private sender(): SendToNode {
    const { commands, clock } = this.service;
    const operation = newOperationId();
    return (node, command, input, key) =>
      commands.send(node, {
        id: `${operation}/survey/${key}`,
        command,
        operation,
        step: 'survey',
        fence: 1,
        deadlineAtMs: clock.nowMs() + COMMAND_TIMEOUT_MS,
        input,
      });
  }
}
