import type { CommandEnvelope, CommandMap } from '@lariat/contracts';
import { OnCommand } from '@lariat/messaging';
import { Controller, Inject } from '@nestjs/common';
import { COMMAND_EXECUTOR, type CommandExecutor } from '../app/command-executor.js';

/** `frontend.*` from the command stream. */
@Controller()
export class FrontendController {
  constructor(@Inject(COMMAND_EXECUTOR) private readonly executor: CommandExecutor) {}

  @OnCommand('frontend.start')
  start(
    envelope: CommandEnvelope<'frontend.start'>,
  ): Promise<CommandMap['frontend.start']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('frontend.users')
  users(
    envelope: CommandEnvelope<'frontend.users'>,
  ): Promise<CommandMap['frontend.users']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('frontend.stop')
  stop(envelope: CommandEnvelope<'frontend.stop'>): Promise<CommandMap['frontend.stop']['output']> {
    return this.executor.execute(envelope);
  }
}
