import { describe } from 'vitest';
import { killAtEveryPosition } from './kill-at-every-position.js';
import { KILL_PLANS } from './kill-plans.js';

describe('the agent of the engine node killed at journal positions of a volume life', () => {
  killAtEveryPosition(KILL_PLANS.agents);
});
