import { describe } from 'vitest';
import { killAtEveryPosition } from './kill-at-every-position.js';
import { changeThrough } from './volume-life.js';

describe('services killed at journal positions of what changes a volume in use', () => {
  killAtEveryPosition({
    nodes: 4,
    processes: ['volume-svc', 'replica-svc'],
    work: changeThrough,
    takes: (point) =>
      /saga\/(volume\.(scale|update|expand)|replica\.(move|remove)|snapshot\.verify)\//.test(point),
    atLeast: 50,
    oneIn: 3,
  });
});
