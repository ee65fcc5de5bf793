import { describe } from 'vitest';
import { killAtEveryPosition } from './kill-at-every-position.js';
import { returnThrough } from './volume-life.js';

describe('services and agents killed at journal positions of the way back of a replica', () => {
  killAtEveryPosition({
    nodes: 3,
    processes: ['replica-svc', 'node-agent-n1', 'node-agent-n2', 'node-agent-n3'],
    work: returnThrough,
    // Those that a rebuild elsewhere has too are taken there.
    takes: (point) =>
      /replica\.rebuild\/(reuse|match|copy|settle)|agent\/rebuild\.(retire|discard|prune|digest|read|copy-clusters|freeze|finish)/.test(
        point,
      ),
    atLeast: 20,
    oneIn: 3,
  });
});
