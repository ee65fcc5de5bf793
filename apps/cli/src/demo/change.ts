import type { RequestMap } from '@lariat/contracts';
import { type Mutation, type MutationName, mutate } from '../client/mutate.js';
import type { Session } from '../client/session.js';
import type { CommandContext } from '../context.js';
import { failure } from './verdict.js';

/** A change, waited for. */
export async function change<Name extends MutationName>(
  context: CommandContext,
  session: Session,
  name: Name,
  body: RequestMap[Name]['request'],
): Promise<RequestMap[Name]['reply']> {
  const outcome: Mutation<Name> = await mutate(context, session, name, body, true);
  if (outcome.done) return outcome.reply;
  throw failure('DEMO_NOT_WAITED', `'${name}' was not waited for.`);
}
