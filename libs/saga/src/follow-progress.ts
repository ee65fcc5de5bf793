import { type ProgressReport, progressSubject } from '@lariat/contracts';
import type { StepContext } from './definition.js';

/** Hears what the nodes tell of the operation's progress until the answer is called. */
export function followProgress(
  { client, operation }: Pick<StepContext<unknown, unknown>, 'client' | 'operation'>,
  hear: (report: ProgressReport) => void,
): () => void {
  const subscription = client.connection.subscribe(progressSubject('*', operation), {
    callback: (error, message) => {
      if (error === null) hear(message.json<ProgressReport>());
    },
  });
  return () => subscription.unsubscribe();
}
