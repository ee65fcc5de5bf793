import { describe } from 'vitest';
import { killAtEveryPosition } from './kill-at-every-position.js';
import { cloneThrough } from './volume-life.js';

describe('services and agents killed at journal positions of a clone', () => {
  killAtEveryPosition({
    nodes: 3,
    processes: ['volume-svc', 'node-agent-n1', 'node-agent-n2', 'node-agent-n3'],
    work: cloneThrough,
    takes: (point) => /volume\.clone\/|agent\/replica\.(clone|adopt-scratch)/.test(point),
    atLeast: 18,
    oneIn: 3,
  });
});
