import type { CommandEnvelope, CommandMap } from '@lariat/contracts';
import { OnCommand } from '@lariat/messaging';
import { Controller, Inject } from '@nestjs/common';
import { COMMAND_EXECUTOR, type CommandExecutor } from '../app/command-executor.js';

/** `snapshot.*` from the command stream. */
@Controller()
export class SnapshotController {
  constructor(@Inject(COMMAND_EXECUTOR) private readonly executor: CommandExecutor) {}

  @OnCommand('snapshot.create')
  create(
    envelope: CommandEnvelope<'snapshot.create'>,
  ): Promise<CommandMap['snapshot.create']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('snapshot.delete')
  remove(
    envelope: CommandEnvelope<'snapshot.delete'>,
  ): Promise<CommandMap['snapshot.delete']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('snapshot.export')
  open(
    envelope: CommandEnvelope<'snapshot.export'>,
  ): Promise<CommandMap['snapshot.export']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('snapshot.unexport')
  close(
    envelope: CommandEnvelope<'snapshot.unexport'>,
  ): Promise<CommandMap['snapshot.unexport']['output']> {
    return this.executor.execute(envelope);
  }
}
