import type { CommandEnvelope, CommandMap } from '@lariat/contracts';
import { OnCommand } from '@lariat/messaging';
import { Controller, Inject } from '@nestjs/common';
import { COMMAND_EXECUTOR, type CommandExecutor } from '../app/command-executor.js';

/** `record.*` from the command stream. */
@Controller()
export class RecordController {
  constructor(@Inject(COMMAND_EXECUTOR) private readonly executor: CommandExecutor) {}

  @OnCommand('record.keep')
  keep(envelope: CommandEnvelope<'record.keep'>): Promise<CommandMap['record.keep']['output']> {
    return this.executor.executeUnjournaled(envelope);
  }

  @OnCommand('record.survey')
  survey(
    envelope: CommandEnvelope<'record.survey'>,
  ): Promise<CommandMap['record.survey']['output']> {
    return this.executor.executeUnjournaled(envelope);
  }
}
