import { describe } from 'vitest';
import { killAtEveryPosition } from './kill-at-every-position.js';
import { liveThrough } from './volume-life.js';

describe('volume-svc and replica-svc killed at every journal position of a volume life', () => {
  killAtEveryPosition({
    nodes: 3,
    processes: ['volume-svc', 'replica-svc'],
    work: liveThrough,
    takes: (point) => point.startsWith('saga/'),
    // 8 sagas of 3 to 5 steps, before and after each.
    atLeast: 50,
  });
});
