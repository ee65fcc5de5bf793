import { type ProgressReport, progressSubject } from '@lariat/contracts';
import type { RebuildContext } from './rebuild-memory.js';

/** Hears what the nodes tell of the operation's progress until the answer is called. */
export function followProgress(
  context: RebuildContext,
  hear: (report: ProgressReport) => void,
): () => void {
  const subscription = context.client.connection.subscribe(progressSubject(context.operation), {
    callback: (error, message) => {
      if (error === null) hear(message.json<ProgressReport>());
    },
  });
  return () => subscription.unsubscribe();
}
