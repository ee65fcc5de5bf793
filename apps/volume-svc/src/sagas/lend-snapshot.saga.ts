import type { SnapshotRecord } from '@lariat/contracts';
import type { Json } from '@lariat/kernel';
import {
  COMMAND_TIMEOUT_MS,
  RETRY_BRIEFLY,
  type SagaDefinition,
  type StepContext,
} from '@lariat/saga';
import { type WantedClone, freezeForClone, unfreezeForClone } from './freeze-for-clone.js';
import type { OnVolume, SagaDeps } from './saga-deps.js';

export interface LendSnapshotInput extends OnVolume {
  /** Id; null: one is taken of what the volume holds now. */
  readonly snapshot: string | null;
  readonly image: string;
  /** Of the image. */
  readonly name: string;
  /** The import, for whose time it is lent. */
  readonly borrower: string;
}

interface LendSnapshotMemory {
  readonly lent: SnapshotRecord;
}

/**
 * Keeps a snapshot for the image that is made of it, as one is kept for a clone. It is given back by `drop-clone`, or by
 * `end-loans` once the import has ended.
 */
export function lendSnapshotSaga(
  deps: SagaDeps,
): SagaDefinition<LendSnapshotInput, LendSnapshotMemory> {
  return {
    kind: 'snapshot.lend',
    // Not `volume/…`: who waits for it may have to wait for what works on the volume now.
    subjectOf: ({ image }) => `image-source/${image}`,
    steps: [
      {
        name: 'freeze',
        waitsFor: ({ volume }) => `volume ${volume} to be free, and to be frozen at one point`,
        timeoutMs: 2 * COMMAND_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        run: async (context) => ({ lent: await freezeForClone(deps, context, wantedBy(context)) }),
        undo: (context) => unfreezeForClone(deps, context, wantedBy(context)),
      },
    ],
    result: ({ volume }, { lent }) => (lent === undefined ? null : { ...lent, volume }) as Json,
  };
}

const wantedBy = ({ input }: StepContext<LendSnapshotInput, LendSnapshotMemory>): WantedClone => ({
  ...{ volume: input.volume, snapshot: input.snapshot },
  clone: { kind: 'image', volume: input.image, name: input.name, operation: input.borrower },
});
