import { describe } from 'vitest';
import { killAtEveryPosition } from './kill-at-every-position.js';
import { KILL_PLANS } from './kill-plans.js';

describe('volume-svc and replica-svc killed at journal positions of a volume life', () => {
  killAtEveryPosition(KILL_PLANS.services);
});
