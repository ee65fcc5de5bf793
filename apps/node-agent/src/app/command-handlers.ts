import type { CommandMap, CommandName } from '@lariat/contracts';

/** What a handler knows beside its input. */
export interface CommandContext {
  readonly operation: string;
  /** Tells how far it is; may be called often. */
  readonly progress: (done: number, total: number, unit: 'clusters' | 'bytes') => void;
  /** What an earlier run of this command for the same operation has noted. */
  readonly noted: () => unknown;
  /** Durable when it resolves. */
  readonly note: (value: unknown) => Promise<void>;
}

export type CommandHandler<Name extends CommandName> = (
  input: CommandMap[Name]['input'],
  context: CommandContext,
) => Promise<CommandMap[Name]['output']>;

/** One handler a command; each is idempotent and adopts what is already there. */
export type CommandHandlers = { readonly [Name in CommandName]: CommandHandler<Name> };

/** The handlers of one noun. */
export type HandlersOf<Noun extends string> = {
  readonly [Name in Extract<CommandName, `${Noun}.${string}`>]: CommandHandler<Name>;
};
