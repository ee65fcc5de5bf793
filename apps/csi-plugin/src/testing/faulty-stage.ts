import { nodeCalls } from '../app/node.js';
import { NodeMachine } from '../app/node-machine.js';
import type { CallScope, HandlersOf, NodeCalls } from '../grpc/messages.js';
import { type FakeNode, type Fault, NODE } from './fake-node.js';

/** What may go wrong at a step of a stage. */
export const FAULTS: readonly Fault[] = [
  'died-before',
  'died-after',
  'device-gone',
  'device-failing',
  'device-of-zeros',
  'device-of-another',
];

/** Its time is up at once: what would be waited for ends the call. */
export const hurried: CallScope = { leftMs: () => 0, signal: new AbortController().signal };

export const callsOn = (node: FakeNode): HandlersOf<NodeCalls> =>
  nodeCalls({
    ...{ cluster: node, stagings: node, node: NODE, maxVolumes: 9 },
    ...{ memoryBytes: 0, log: { info: () => undefined } },
    machine: new NodeMachine(node),
  });
