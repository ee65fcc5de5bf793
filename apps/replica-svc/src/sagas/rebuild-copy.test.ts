import { type CommandName, type SnapshotRecord, lariatError } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { expect, it } from 'vitest';
import { attachedVolume } from '../domain/volume.test-support.js';
import { copyStep } from './rebuild-copy.js';
import type { RebuildDeps } from './rebuild-memory.js';

const SCRATCH_NQN = 'nqn.2026-11.io.lariat:scratch:r9';
const snapshot: SnapshotRecord = {
  ...{ id: 's1', parent: null, name: 's1', sizeBytes: MIB, createdAt: '', user: true },
};
const record = attachedVolume({ snapshots: [snapshot] });
const deps = { volumes: { fresh: () => Promise.resolve(record) } } as unknown as RebuildDeps;

/** The copy from r1 on n1 to r9 on n9, of which the source's node says `refusal`. */
async function copy(refusal: Error): Promise<unknown> {
  const context = {
    ...{ operation: 'op', attempt: 1, undoneFor: null },
    memory: {
      source: { id: 'r1', node: 'n1', disk: 'd1' },
      target: { id: 'r9', node: 'n9', disk: 'd9' },
    },
    input: { volume: 'vol-1', replica: null },
    cancellation: new AbortController().signal,
    progress: () => undefined,
    client: {
      connection: { subscribe: () => ({ unsubscribe: () => undefined }) },
      request: () => Promise.resolve({ state: 'ready' }),
    },
    command: (_node: string, name: CommandName) =>
      name === 'rebuild.copy-snapshot'
        ? Promise.reject(refusal)
        : Promise.resolve({ nqn: SCRATCH_NQN }),
    checkpoint: () => Promise.resolve(),
  };
  return copyStep(deps).run(context as never);
}

it.each([
  ['the disk of the copy, which is full', lariatError('DISK_FULL', 'no space'), 'n9'],
  [
    'the node that the copy goes to, which is not reached',
    lariatError('LEG_UNREACHABLE', 'connect failed', { nqn: SCRATCH_NQN }),
    'n9',
  ],
  ['nobody else when the source itself failed', lariatError('LEG_UNREACHABLE', 'EIO'), undefined],
])("names %s, though the source's node tells of it", async (_what, refusal, node) => {
  const told: unknown = await copy(refusal).catch((reason: unknown) => reason);
  expect(told).toMatchObject({ code: refusal.code });
  expect((told as { details?: { node?: string } }).details?.node).toBe(node);
});
