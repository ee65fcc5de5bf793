import { parseSizeBytes } from '@lariat/kernel';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { DryRun } from '@lariat/contracts';
import { given } from '../client/given.js';
import { mutate, type Mutation, type MutationName } from '../client/mutate.js';
import { type Session, withSession } from '../client/session.js';
import { type CommandContext, contextOf } from '../context.js';
import type { Interruption } from '../interruption.js';
import type { Streams } from '../output/printer.js';
import { operationDetails } from '../output/views.js';
import type { RequestMap } from '@lariat/contracts';

/** What the definitions of commands share: the streams and the way to stop. */
export interface Runtime {
  readonly streams: Streams;
  readonly interruption: Interruption;
  /** For commands that end well with another code than 0. */
  setExitCode(code: number): void;
}

/** `lariat volume create` as its words after `lariat`. */
function pathOf(command: Command): string {
  const parent = command.parent;
  return parent === null ? '' : `${pathOf(parent)} ${command.name()}`.trim();
}

/** A command that speaks to the cluster. */
export function online(
  runtime: Runtime,
  command: Command,
  work: (session: Session, context: CommandContext) => Promise<void>,
): Promise<void> {
  const context = contextOf(command, runtime.streams, runtime.interruption);
  return withSession(context, pathOf(command), (session) => work(session, context));
}

/** A command that needs no connection, or makes its own. */
export function offline(
  runtime: Runtime,
  command: Command,
  work: (context: CommandContext) => Promise<void>,
): Promise<void> {
  return work(contextOf(command, runtime.streams, runtime.interruption));
}

export interface WaitOption {
  /** Commander's reading of `--no-wait`. */
  readonly wait: boolean;
}

export const noWait = (): Option =>
  new Option('--no-wait', 'answer at once with the operation, which goes on');

export const dryRun = (): Option =>
  new Option('--dry-run', 'say what would be done, and do nothing');

export interface DryRunOption {
  readonly dryRun?: boolean;
}

export function isDryRun(reply: unknown): reply is DryRun {
  return typeof reply === 'object' && reply !== null && 'dryRun' in reply;
}

/** Sends a change and prints its result, its operation, or what it would do. */
export async function change<Name extends MutationName>(
  session: Session,
  context: CommandContext,
  name: Name,
  body: RequestMap[Name]['request'],
  wait: boolean,
  text: (reply: Exclude<RequestMap[Name]['reply'], DryRun>) => string,
): Promise<void> {
  const outcome: Mutation<Name> = await mutate(context, session, name, body, wait);
  if (!outcome.done) {
    const { operation } = outcome;
    context.printer.show({ operation }, () => operationDetails(operation));
    return;
  }
  const { reply } = outcome;
  context.printer.show(reply, () =>
    isDryRun(reply)
      ? ['would:', ...reply.would.map((line) => `  ${line}`)].join('\n')
      : text(reply as Exclude<RequestMap[Name]['reply'], DryRun>),
  );
}

export function parseSize(text: string): number {
  const sizeBytes = parseSizeBytes(text);
  if (sizeBytes !== undefined && sizeBytes > 0) return sizeBytes;
  throw new InvalidArgumentError('A size is a number of bytes, or like 256MiB, 1.5GiB, 2TiB.');
}

/** A size that may be none. */
export const parseReserve = (text: string): number => (text === '0' ? 0 : parseSize(text));

export function parseCount(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count > 0) return count;
  throw new InvalidArgumentError('A whole number above 0 is needed.');
}

export function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

export function collectLabel(
  text: string,
  before: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('A label is KEY=VALUE.');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

export interface VolumeSourceOption {
  readonly volume: string;
  readonly snapshot?: string;
}

/** `db` or `db@before-upgrade`. */
export function parseVolumeSource(text: string): VolumeSourceOption {
  const [volume = '', snapshot, ...more] = text.split('@');
  if (volume === '' || snapshot === '' || more.length > 0)
    throw new InvalidArgumentError('Give a volume, or volume@snapshot.');
  return { volume, ...given({ snapshot }) };
}
