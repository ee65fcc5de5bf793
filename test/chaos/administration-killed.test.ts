import { describe } from 'vitest';
import { killAtEveryPosition } from './kill-at-every-position.js';
import { KILL_PLANS } from './kill-plans.js';

describe('services and an agent killed at journal positions of what is done to disks, and of a recovery', () => {
  killAtEveryPosition(KILL_PLANS.administration);
});

describe('the image service killed at journal positions of a recovery', () => {
  killAtEveryPosition(KILL_PLANS.imageServiceInRecovery);
});
