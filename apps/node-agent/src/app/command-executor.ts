import type { CommandAnswer, CommandEnvelope, CommandMap, CommandName } from '@lariat/contracts';
import {
  isRetryable,
  LariatError,
  toLariatError,
  type Clock,
  type FaultPoints,
  type KeyedQueue,
} from '@lariat/kernel';
import { NO_PRECEDENTS, queueKey, refusal } from '../domain/command-rules.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { CommandContext, CommandHandlers } from './command-handlers.js';
import { translateTargetError } from './target-errors.js';

export const COMMAND_EXECUTOR = Symbol('COMMAND_EXECUTOR');

export interface CommandExecutorParts {
  readonly journal: JournalPort;
  readonly queue: KeyedQueue;
  readonly clock: Clock;
  readonly faults: FaultPoints;
  readonly handlers: CommandHandlers;
  /** Resolves when the target has been put back, rejects with TARGET_UNAVAILABLE when that takes too long. */
  readonly whenReady: () => Promise<void>;
  readonly report: (
    operation: string,
    commandId: string,
    command: CommandName,
  ) => CommandContext['progress'];
}

/**
 * Carries out each command once: intent, effect, result, in that order, all in the journal. A redelivery gets
 * the first answer; one that died between intent and result runs again, since handlers look before they make.
 */
export class CommandExecutor {
  constructor(private readonly parts: CommandExecutorParts) {}

  execute<Name extends CommandName>(
    envelope: CommandEnvelope<Name>,
  ): Promise<CommandMap[Name]['output']> {
    const key = queueKey(envelope.command, envelope.input);
    return this.parts.queue.run(key, () => this.carryOut(envelope));
  }

  /** For a command that does the same however often it comes, late or out of order: it needs no memory of its own. */
  async executeUnjournaled<Name extends CommandName>(
    envelope: CommandEnvelope<Name>,
  ): Promise<CommandMap[Name]['output']> {
    return outputOf<Name>(await this.effect(envelope));
  }

  /** The same for one that nobody has a use for after its deadline. */
  async executeUnjournaledInTime<Name extends CommandName>(
    envelope: CommandEnvelope<Name>,
  ): Promise<CommandMap[Name]['output']> {
    const refused = refusal(envelope, NO_PRECEDENTS, this.parts.clock.nowMs());
    if (refused !== undefined) throw refused;
    return this.executeUnjournaled(envelope);
  }

  private async carryOut<Name extends CommandName>(
    envelope: CommandEnvelope<Name>,
  ): Promise<CommandMap[Name]['output']> {
    const { journal, clock, faults } = this.parts;
    const first = journal.answerOf(envelope.id);
    if (first !== undefined) return outputOf<Name>(first);
    await this.parts.whenReady();
    const refused = await journal.begin(envelope, clock.nowMs());
    if (refused !== undefined) throw refused;
    await faults.reach(`agent/${envelope.command}/intent-journaled`);
    const answer = await this.effect(envelope);
    await faults.reach(`agent/${envelope.command}/effect-done`);
    await journal.end(envelope.id, answer, clock.nowMs());
    await faults.reach(`agent/${envelope.command}/result-journaled`);
    return outputOf<Name>(answer);
  }

  /** A final error becomes an answer; one that may pass is thrown, so that a retry runs the command again. */
  private async effect(envelope: CommandEnvelope): Promise<CommandAnswer> {
    // Not the command's id: a saga that was taken over asks for the same under another one.
    const noteKey = `${envelope.operation}/${envelope.command}`;
    const context: CommandContext = {
      operation: envelope.operation,
      progress: this.parts.report(envelope.operation, envelope.id, envelope.command),
      noted: () => this.parts.journal.noteOf(noteKey),
      note: (value) => this.parts.journal.note(noteKey, value, this.parts.clock.nowMs()),
    };
    const handler = this.parts.handlers[envelope.command] as (
      input: unknown,
      context: CommandContext,
    ) => Promise<CommandMap[CommandName]['output']>;
    try {
      return { id: envelope.id, data: await handler(envelope.input, context) };
    } catch (reason) {
      const error = toLariatError(translateTargetError(reason));
      if (isRetryable(error.kind)) throw error;
      return { id: envelope.id, error: error.toRecord() };
    }
  }
}

function outputOf<Name extends CommandName>(answer: CommandAnswer): CommandMap[Name]['output'] {
  if ('error' in answer) throw LariatError.fromRecord(answer.error);
  return answer.data;
}
