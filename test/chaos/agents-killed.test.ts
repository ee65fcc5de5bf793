import { describe } from 'vitest';
import { killAtEveryPosition } from './kill-at-every-position.js';
import { liveThrough } from './volume-life.js';

describe('the agent of the engine node killed at every journal position of a volume life', () => {
  killAtEveryPosition({
    nodes: 3,
    processes: ['node-agent-n1'],
    work: liveThrough,
    takes: (point) => point.startsWith('agent/'),
    // About 14 commands, three positions each.
    atLeast: 36,
  });
});
