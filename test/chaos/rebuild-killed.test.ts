import { describe } from 'vitest';
import { killAtEveryPosition } from './kill-at-every-position.js';
import { rebuildThrough } from './volume-life.js';

describe('services and agents killed at every journal position of a rebuild', () => {
  killAtEveryPosition({
    nodes: 4,
    processes: ['replica-svc', 'node-agent-n1', 'node-agent-n2', 'node-agent-n3', 'node-agent-n4'],
    work: rebuildThrough,
    takes: (point) =>
      /replica\.re(build|move)\/|agent\/(rebuild\.|engine\.(add|remove)-leg)/.test(point),
    atLeast: 30,
  });
});
