import { describe } from 'vitest';
import { killAtEveryPosition } from './kill-at-every-position.js';
import { KILL_PLANS } from './kill-plans.js';

describe('NATS killed, and back on its store, at journal positions of the life of a volume in use', () => {
  killAtEveryPosition(KILL_PLANS.natsInLife);
});

describe('NATS killed, and back on its store, at journal positions of what changes a volume in use', () => {
  killAtEveryPosition(KILL_PLANS.natsInChanges);
});

describe('NATS silent for ten seconds at journal positions of the life of a volume in use', () => {
  killAtEveryPosition(KILL_PLANS.natsFrozen);
});
