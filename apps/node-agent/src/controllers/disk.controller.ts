import type { CommandEnvelope, CommandMap } from '@lariat/contracts';
import { OnCommand } from '@lariat/messaging';
import { Controller, Inject } from '@nestjs/common';
import { COMMAND_EXECUTOR, type CommandExecutor } from '../app/command-executor.js';

/** `disk.*` from the command stream. */
@Controller()
export class DiskController {
  constructor(@Inject(COMMAND_EXECUTOR) private readonly executor: CommandExecutor) {}

  @OnCommand('disk.add')
  add(envelope: CommandEnvelope<'disk.add'>): Promise<CommandMap['disk.add']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('disk.remove')
  remove(envelope: CommandEnvelope<'disk.remove'>): Promise<CommandMap['disk.remove']['output']> {
    return this.executor.execute(envelope);
  }
}
