import { describe } from 'vitest';
import { killAtEveryPosition } from './kill-at-every-position.js';
import { KILL_PLANS } from './kill-plans.js';

describe('the image service and agents killed at journal positions of the life of an image', () => {
  killAtEveryPosition(KILL_PLANS.images);
});
