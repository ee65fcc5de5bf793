import type { CommandEnvelope, CommandMap } from '@lariat/contracts';
import { OnCommand } from '@lariat/messaging';
import { Controller, Inject } from '@nestjs/common';
import { COMMAND_EXECUTOR, type CommandExecutor } from '../app/command-executor.js';

/** `target.*` from the command stream. */
@Controller()
export class TargetController {
  constructor(@Inject(COMMAND_EXECUTOR) private readonly executor: CommandExecutor) {}

  @OnCommand('target.restart')
  restart(
    envelope: CommandEnvelope<'target.restart'>,
  ): Promise<CommandMap['target.restart']['output']> {
    return this.executor.execute(envelope);
  }
}
