import type { CommandEnvelope, CommandMap } from '@lariat/contracts';
import { OnCommand } from '@lariat/messaging';
import { Controller, Inject } from '@nestjs/common';
import { COMMAND_EXECUTOR, type CommandExecutor } from '../app/command-executor.js';

/** `image.*` from the command stream. */
@Controller()
export class ImageController {
  constructor(@Inject(COMMAND_EXECUTOR) private readonly executor: CommandExecutor) {}

  @OnCommand('image.create-copy')
  createCopy(
    envelope: CommandEnvelope<'image.create-copy'>,
  ): Promise<CommandMap['image.create-copy']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('image.seal-copy')
  sealCopy(
    envelope: CommandEnvelope<'image.seal-copy'>,
  ): Promise<CommandMap['image.seal-copy']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('image.adopt-copy')
  adoptCopy(
    envelope: CommandEnvelope<'image.adopt-copy'>,
  ): Promise<CommandMap['image.adopt-copy']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('image.export-copy')
  exportCopy(
    envelope: CommandEnvelope<'image.export-copy'>,
  ): Promise<CommandMap['image.export-copy']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('image.unexport-copy')
  unexportCopy(
    envelope: CommandEnvelope<'image.unexport-copy'>,
  ): Promise<CommandMap['image.unexport-copy']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('image.fetch-copy')
  fetchCopy(
    envelope: CommandEnvelope<'image.fetch-copy'>,
  ): Promise<CommandMap['image.fetch-copy']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('image.digest-copy')
  digestCopy(
    envelope: CommandEnvelope<'image.digest-copy'>,
  ): Promise<CommandMap['image.digest-copy']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('image.read-digests')
  readDigests(
    envelope: CommandEnvelope<'image.read-digests'>,
  ): Promise<CommandMap['image.read-digests']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('image.delete-copy')
  deleteCopy(
    envelope: CommandEnvelope<'image.delete-copy'>,
  ): Promise<CommandMap['image.delete-copy']['output']> {
    return this.executor.execute(envelope);
  }

  /**
   * Unjournaled: its effect ends with the process, so that the first answer would not be true after a restart. One whose
   * import has given it up meanwhile opens nothing.
   */
  @OnCommand('image.serve-file')
  serveFile(
    envelope: CommandEnvelope<'image.serve-file'>,
  ): Promise<CommandMap['image.serve-file']['output']> {
    return this.executor.executeUnjournaledInTime(envelope);
  }
}
