import type { RecoveryReport } from '@lariat/contracts';
import type { Json } from '@lariat/kernel';
import { COMMAND_TIMEOUT_MS, RETRY_BRIEFLY, type SagaDefinition } from '@lariat/saga';
import { recoverVolumes } from '../app/recover-volumes.js';
import type { SagaDeps } from './saga-deps.js';

export interface RecoverClusterInput {
  readonly acceptDataLoss: readonly string[];
}

interface RecoverClusterMemory {
  readonly report: RecoveryReport;
}

/** Every node is asked, and every volume compared. */
const RESTORE_TIMEOUT_MS = 30 * 60_000;

/**
 * Puts back what the store has lost. One step, which begins anew when it was cut off: what it had put back is on record
 * then. It takes nothing back: a record that was found is better than none.
 */
export function recoverClusterSaga(
  deps: SagaDeps,
): SagaDefinition<RecoverClusterInput, RecoverClusterMemory> {
  return {
    kind: 'cluster.recover',
    subjectOf: () => 'cluster/recover',
    steps: [
      {
        name: 'restore',
        waitsFor: 'all nodes to tell what they keep, and the records to be written',
        timeoutMs: RESTORE_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        run: async (context) => {
          const report = await recoverVolumes(
            {
              volumes: deps.volumes,
              clock: deps.clock,
              client: context.client,
              actor: context.actor,
              send: (node, name, input, key) =>
                context.command(node, name, input, { key, timeoutMs: COMMAND_TIMEOUT_MS }),
            },
            { dryRun: false, acceptDataLoss: context.input.acceptDataLoss },
          );
          return { report };
        },
      },
    ],
    result: (_input, { report }) => (report ?? null) as Json,
  };
}
