import { describe } from 'vitest';
import { killAtEveryPosition } from './kill-at-every-position.js';
import { KILL_PLANS } from './kill-plans.js';

describe('the replica service killed at journal positions of a drain, and of the removal of a disk that is emptied', () => {
  killAtEveryPosition(KILL_PLANS.evacuation);
});
