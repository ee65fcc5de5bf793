import type { TargetRestarted } from '@lariat/contracts';
import type { Json } from '@lariat/kernel';
import { RETRY_BRIEFLY, type SagaDefinition, commandWhileLive } from '@lariat/saga';

export interface RestartTargetInput {
  readonly node: string;
}

interface RestartTargetMemory {
  readonly from: string;
  readonly to: string;
}

/** Starts a node's target anew. There is nothing to undo: a target that does not come up is tried again by its agent. */
export function restartTargetSaga(): SagaDefinition<RestartTargetInput, RestartTargetMemory> {
  return {
    kind: 'node.restart-target',
    subjectOf: ({ node }) => `target/${node}`,
    steps: [
      {
        name: 'restart',
        waitsFor: ({ node }) => `the target of ${node} to be back, with all that it had`,
        timeoutMs: 90_000,
        retry: RETRY_BRIEFLY,
        run: (context) => {
          const { node } = context.input;
          return commandWhileLive(context, node, 'target.restart', {}, { key: node });
        },
      },
    ],
    result: ({ node }, { from = '', to = '' }) =>
      ({ node, from, to }) satisfies TargetRestarted as Json,
  };
}
