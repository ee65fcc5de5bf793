import type { CommandEnvelope, CommandMap } from '@lariat/contracts';
import { OnCommand } from '@lariat/messaging';
import { Controller, Inject } from '@nestjs/common';
import { COMMAND_EXECUTOR, type CommandExecutor } from '../app/command-executor.js';

/** `orphan.*` from the command stream. */
@Controller()
export class OrphanController {
  constructor(@Inject(COMMAND_EXECUTOR) private readonly executor: CommandExecutor) {}

  @OnCommand('orphan.delete')
  delete(
    envelope: CommandEnvelope<'orphan.delete'>,
  ): Promise<CommandMap['orphan.delete']['output']> {
    return this.executor.execute(envelope);
  }
}
