import type { CommandEnvelope, CommandMap } from '@lariat/contracts';
import { OnCommand } from '@lariat/messaging';
import { Controller, Inject } from '@nestjs/common';
import { COMMAND_EXECUTOR, type CommandExecutor } from '../app/command-executor.js';

/** `rebuild.*` from the command stream. */
@Controller()
export class RebuildController {
  constructor(@Inject(COMMAND_EXECUTOR) private readonly executor: CommandExecutor) {}

  @OnCommand('rebuild.export-snapshot')
  exportSnapshot(
    envelope: CommandEnvelope<'rebuild.export-snapshot'>,
  ): Promise<CommandMap['rebuild.export-snapshot']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('rebuild.unexport-snapshot')
  unexportSnapshot(
    envelope: CommandEnvelope<'rebuild.unexport-snapshot'>,
  ): Promise<CommandMap['rebuild.unexport-snapshot']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('rebuild.create-head')
  createHead(
    envelope: CommandEnvelope<'rebuild.create-head'>,
  ): Promise<CommandMap['rebuild.create-head']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('rebuild.create-scratch')
  createScratch(
    envelope: CommandEnvelope<'rebuild.create-scratch'>,
  ): Promise<CommandMap['rebuild.create-scratch']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('rebuild.copy-snapshot')
  copySnapshot(
    envelope: CommandEnvelope<'rebuild.copy-snapshot'>,
  ): Promise<CommandMap['rebuild.copy-snapshot']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('rebuild.freeze-scratch')
  freezeScratch(
    envelope: CommandEnvelope<'rebuild.freeze-scratch'>,
  ): Promise<CommandMap['rebuild.freeze-scratch']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('rebuild.finish')
  finish(
    envelope: CommandEnvelope<'rebuild.finish'>,
  ): Promise<CommandMap['rebuild.finish']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('rebuild.detach-scratch')
  detachScratch(
    envelope: CommandEnvelope<'rebuild.detach-scratch'>,
  ): Promise<CommandMap['rebuild.detach-scratch']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('rebuild.retire-head')
  retireHead(
    envelope: CommandEnvelope<'rebuild.retire-head'>,
  ): Promise<CommandMap['rebuild.retire-head']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('rebuild.discard-head')
  discardHead(
    envelope: CommandEnvelope<'rebuild.discard-head'>,
  ): Promise<CommandMap['rebuild.discard-head']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('rebuild.prune-snapshots')
  pruneSnapshots(
    envelope: CommandEnvelope<'rebuild.prune-snapshots'>,
  ): Promise<CommandMap['rebuild.prune-snapshots']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('rebuild.digest-snapshot')
  digestSnapshot(
    envelope: CommandEnvelope<'rebuild.digest-snapshot'>,
  ): Promise<CommandMap['rebuild.digest-snapshot']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('rebuild.read-digests')
  readDigests(
    envelope: CommandEnvelope<'rebuild.read-digests'>,
  ): Promise<CommandMap['rebuild.read-digests']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('rebuild.copy-clusters')
  copyClusters(
    envelope: CommandEnvelope<'rebuild.copy-clusters'>,
  ): Promise<CommandMap['rebuild.copy-clusters']['output']> {
    return this.executor.execute(envelope);
  }
}
