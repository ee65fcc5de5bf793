import type { WriteGate } from '@lariat/contracts';
import { expect, it } from 'vitest';
import { requireGate } from './held-writes.js';
import { attachedVolume, readyNode } from './volume.test-support.js';

const nodesOf = (writeGate?: WriteGate) => [
  readyNode('n2', { writeGate: 'device' }),
  readyNode('n1', { target: 'SPDK v26.05', ...(writeGate === undefined ? {} : { writeGate }) }),
];
const through = (frontend: 'nvmf' | 'kernel') => {
  const volume = attachedVolume();
  const attachment = volume.attachment === null ? null : { ...volume.attachment, frontend };
  return { ...volume, attachment };
};

it.each([
  { what: 'nobody writes', volume: { ...through('nvmf'), attachment: null }, gate: 'device' },
  { what: 'its device can hold what is written', volume: through('kernel'), gate: 'device' },
  { what: 'the target can', volume: through('nvmf'), gate: 'target' },
  { what: 'the node has not told what can', volume: through('nvmf'), gate: undefined },
] as const)('a replica may join where $what', ({ volume, gate }) => {
  expect(() => requireGate(volume, nodesOf(gate))).not.toThrow();
});

it('none joins where nothing can hold what is written: who asks hears what would', () => {
  expect(() => requireGate(through('nvmf'), nodesOf('device'))).toThrow(
    expect.objectContaining({
      code: 'GATE_MISSING',
      message: expect.stringMatching(/n1 .*'nvmf'.*SPDK v26.05.*'kernel'/),
    }),
  );
});
