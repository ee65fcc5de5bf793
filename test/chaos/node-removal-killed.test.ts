import { describe } from 'vitest';
import { killAtEveryPosition } from './kill-at-every-position.js';
import { KILL_PLANS } from './kill-plans.js';

describe('services killed at journal positions of the removal of a dead node', () => {
  killAtEveryPosition(KILL_PLANS.nodeRemoval);
});
