import { expect, it } from 'vitest';
import type { ReceivedSpan } from './otlp-receiver.js';
import { spanFaults } from './span-faults.js';

const ROOT: ReceivedSpan = {
  ...{ traceId: 't', spanId: 'root', parentSpanId: '', name: 'saga volume.create' },
  ...{ service: 'volume-svc', instance: 'i', startNs: 1n, endNs: 9n },
  ...{ isError: false, statusMessage: '', attributes: { 'saga.id': 'op-1' }, resource: {} },
};
const CHILD: ReceivedSpan = {
  ...ROOT,
  ...{ spanId: 'child', parentSpanId: 'root', name: 'saga.start volume.create' },
};

it('finds nothing wrong with a whole trace', () => expect(spanFaults([CHILD, ROOT])).toEqual([]));

it.each([
  ['no parent', [{ ...CHILD, name: 'work' }]],
  ['no parent', [ROOT, { ...CHILD, traceId: 'other' }]],
  ['a saga without an end', [{ ...CHILD, parentSpanId: '' }]],
  ['without a name', [{ ...ROOT, name: ' ' }]],
  ['an end before its start', [{ ...ROOT, endNs: 0n }]],
  ['came twice', [ROOT, ROOT]],
  ['an id in the name', [{ ...ROOT, name: 'process op-vyskxcs4f0rd' }]],
  ['an id in the name', [{ ...ROOT, name: 'get 6b3c9a52-0f5e-4a5b-9a77-1f0a4a3c2b1d' }]],
])('finds: %s', (fault, spans) => {
  expect(spanFaults(spans)).toEqual([expect.stringContaining(fault)]);
});
