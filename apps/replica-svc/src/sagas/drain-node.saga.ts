import type { EvacuationReport } from '@lariat/contracts';
import type { Json } from '@lariat/kernel';
import { RETRY_BRIEFLY, type SagaDefinition } from '@lariat/saga';
import { type EvacuationMemory, assertEmptied, evacuationSteps, reportOn } from './evacuate.js';
import type { RebuildDeps } from './rebuild-memory.js';

export interface DrainNodeInput {
  readonly node: string;
  /** Volumes whose replicas are moved side by side. */
  readonly atOnce: number;
}

interface DrainNodeMemory extends EvacuationMemory {
  readonly report: EvacuationReport;
}

/** Moves all that a node has to others; what it has moved stays away, and the node cordoned, however it ends. */
export function drainNodeSaga(deps: RebuildDeps): SagaDefinition<DrainNodeInput, DrainNodeMemory> {
  return {
    kind: 'node.drain',
    subjectOf: (input) => `node/${input.node}`,
    steps: [
      {
        name: 'close',
        waitsFor: 'the node to be cordoned',
        timeoutMs: 10_000,
        retry: RETRY_BRIEFLY,
        run: async ({ input, operation }) => {
          await deps.nodes.changeDuty(input.node, { event: 'drain', operation });
        },
        undo: async ({ input, operation }) => {
          await deps.nodes.changeDuty(input.node, { event: 'drain-ended', operation });
        },
      },
      ...evacuationSteps<DrainNodeInput, DrainNodeMemory>(deps, ({ node, atOnce }) => ({
        ...{ node, disk: null, atOnce },
      })),
      {
        name: 'conclude',
        waitsFor: 'the record to be changed',
        timeoutMs: 10_000,
        retry: RETRY_BRIEFLY,
        run: async ({ input: { node }, operation, memory }) => {
          const report = reportOn(deps, { node, disk: null }, memory);
          assertEmptied({ node, disk: null }, report);
          await deps.nodes.changeDuty(node, { event: 'drained', operation });
          return { report };
        },
      },
    ],
    result: (_input, { report }) => (report ?? null) as Json,
  };
}
