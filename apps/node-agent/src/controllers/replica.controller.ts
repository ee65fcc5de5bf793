import type { CommandEnvelope, CommandMap } from '@lariat/contracts';
import { OnCommand } from '@lariat/messaging';
import { Controller, Inject } from '@nestjs/common';
import { COMMAND_EXECUTOR, type CommandExecutor } from '../app/command-executor.js';

/** `replica.*` from the command stream. */
@Controller()
export class ReplicaController {
  constructor(@Inject(COMMAND_EXECUTOR) private readonly executor: CommandExecutor) {}

  @OnCommand('replica.create')
  create(
    envelope: CommandEnvelope<'replica.create'>,
  ): Promise<CommandMap['replica.create']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('replica.clone')
  clone(
    envelope: CommandEnvelope<'replica.clone'>,
  ): Promise<CommandMap['replica.clone']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('replica.adopt-scratch')
  adoptScratch(
    envelope: CommandEnvelope<'replica.adopt-scratch'>,
  ): Promise<CommandMap['replica.adopt-scratch']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('replica.adopt')
  adopt(
    envelope: CommandEnvelope<'replica.adopt'>,
  ): Promise<CommandMap['replica.adopt']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('replica.delete')
  remove(
    envelope: CommandEnvelope<'replica.delete'>,
  ): Promise<CommandMap['replica.delete']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('replica.export')
  exportHead(
    envelope: CommandEnvelope<'replica.export'>,
  ): Promise<CommandMap['replica.export']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('replica.unexport')
  unexport(
    envelope: CommandEnvelope<'replica.unexport'>,
  ): Promise<CommandMap['replica.unexport']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('replica.resize')
  resize(
    envelope: CommandEnvelope<'replica.resize'>,
  ): Promise<CommandMap['replica.resize']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('replica.revert')
  revert(
    envelope: CommandEnvelope<'replica.revert'>,
  ): Promise<CommandMap['replica.revert']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('replica.checksum')
  checksum(
    envelope: CommandEnvelope<'replica.checksum'>,
  ): Promise<CommandMap['replica.checksum']['output']> {
    return this.executor.execute(envelope);
  }
}
