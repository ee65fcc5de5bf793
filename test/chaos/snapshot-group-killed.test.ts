import { describe } from 'vitest';
import { killAtEveryPosition } from './kill-at-every-position.js';
import { KILL_PLANS } from './kill-plans.js';

describe('services and agents killed at journal positions of a group of snapshots', () => {
  killAtEveryPosition(KILL_PLANS.snapshotGroup);
});
