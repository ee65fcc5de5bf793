import type { CommandMap, CommandName } from '@lariat/contracts';
import type { ErrorRecord } from '@lariat/kernel';
import type { CommandOptions, SagaStep, StepContext } from '@lariat/saga';

export type Answers = {
  readonly [Name in CommandName]?: (
    node: string,
    input: CommandMap[Name]['input'],
  ) => CommandMap[Name]['output'];
};

export interface StepSetting<Input> {
  readonly input: Input;
  readonly memory?: object;
  readonly answers: Answers;
  readonly requests?: Readonly<Record<string, (body: never) => unknown>>;
  readonly undoneFor?: ErrorRecord;
  readonly signal?: AbortSignal;
}

export interface ImaginedStep {
  readonly context: StepContext<never, never>;
  /** `image.seal-copy to n1`, in order. */
  readonly sent: string[];
  /** What tells those apart. */
  readonly keys: string[];
  /** What it has journaled. */
  readonly memory: Record<string, unknown>;
}

/** What a step has at hand, with nodes and services that answer as a test says. */
export function imaginedStep<Input>(setting: StepSetting<Input>): ImaginedStep {
  const { input, answers, requests = {}, undoneFor = null } = setting;
  const sent: string[] = [];
  const keys: string[] = [];
  const memory: Record<string, unknown> = { ...setting.memory };
  const context = {
    ...{ operation: 'op-1', input, memory, actor: 'test', attempt: 1, undoneFor },
    cancellation: setting.signal ?? new AbortController().signal,
    log: { info: () => undefined, warn: () => undefined },
    client: {
      connection: { subscribe: () => ({ unsubscribe: () => undefined }) },
      request: async (name: string, body: unknown) => {
        await Promise.resolve();
        const answer = requests[name] as ((body: unknown) => unknown) | undefined;
        return answer === undefined ? {} : answer(body);
      },
    },
    command: async (node: string, name: CommandName, given: unknown, options: CommandOptions) => {
      await Promise.resolve();
      sent.push(`${name} to ${node}`);
      keys.push(options.key);
      const answer = answers[name] as ((node: string, input: unknown) => unknown) | undefined;
      return answer === undefined ? {} : answer(node, given);
    },
    checkpoint: (found: object) => {
      Object.assign(memory, found);
      return Promise.resolve();
    },
    progress: () => undefined,
  };
  return { context: context as unknown as StepContext<never, never>, sent, keys, memory };
}

/** Runs steps of a saga by their names, or all, and undoes it, as its runner would. */
export function driven(
  steps: readonly SagaStep<never, never>[],
  { context, memory }: ImaginedStep,
): { readonly run: (...names: string[]) => Promise<void>; readonly undo: () => Promise<void> } {
  return {
    run: async (...names) => {
      const wanted = names.length === 0 ? steps : steps.filter(({ name }) => names.includes(name));
      for (const step of wanted) Object.assign(memory, await step.run(context));
    },
    undo: async () => {
      for (const step of steps.toReversed()) await step.undo?.(context);
    },
  };
}
