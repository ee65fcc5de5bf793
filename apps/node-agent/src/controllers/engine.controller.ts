import type { CommandEnvelope, CommandMap } from '@lariat/contracts';
import { OnCommand } from '@lariat/messaging';
import { Controller, Inject } from '@nestjs/common';
import { COMMAND_EXECUTOR, type CommandExecutor } from '../app/command-executor.js';

/** `engine.*` from the command stream. */
@Controller()
export class EngineController {
  constructor(@Inject(COMMAND_EXECUTOR) private readonly executor: CommandExecutor) {}

  @OnCommand('engine.start')
  start(envelope: CommandEnvelope<'engine.start'>): Promise<CommandMap['engine.start']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('engine.stop')
  stop(envelope: CommandEnvelope<'engine.stop'>): Promise<CommandMap['engine.stop']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('engine.resize')
  resize(
    envelope: CommandEnvelope<'engine.resize'>,
  ): Promise<CommandMap['engine.resize']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('engine.set-qos')
  setQos(
    envelope: CommandEnvelope<'engine.set-qos'>,
  ): Promise<CommandMap['engine.set-qos']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('engine.remove-leg')
  removeLeg(
    envelope: CommandEnvelope<'engine.remove-leg'>,
  ): Promise<CommandMap['engine.remove-leg']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('engine.add-leg')
  addLeg(
    envelope: CommandEnvelope<'engine.add-leg'>,
  ): Promise<CommandMap['engine.add-leg']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('engine.close-gate')
  closeGate(
    envelope: CommandEnvelope<'engine.close-gate'>,
  ): Promise<CommandMap['engine.close-gate']['output']> {
    return this.executor.execute(envelope);
  }

  @OnCommand('engine.open-gate')
  openGate(
    envelope: CommandEnvelope<'engine.open-gate'>,
  ): Promise<CommandMap['engine.open-gate']['output']> {
    return this.executor.execute(envelope);
  }
}
