import { delay } from '@lariat/kernel';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Lab } from '../contract/support/lab.js';
import { softTarget } from '../contract/support/target-kind.js';
import { SteadyLoad } from './steady-load.js';
import {
  assemble,
  connectVolume,
  contentOf,
  legMissed,
  newHistory,
  newLeg,
  onLeg,
  reopen,
} from './three-legs.js';

let lab: Lab;

beforeEach(async () => {
  lab = await Lab.open(softTarget);
});

afterEach((context) => lab.close(context));

test('a target that holds writes for a loss on no record stops in order, and acknowledges none of them', async () => {
  const engine = await newLeg('here', await lab.startTarget());
  const near = await newLeg('near', await lab.startTarget());
  const far = await newLeg('far', await lab.startTarget());
  const history = newHistory();
  await assemble(engine, [near, far]);
  const { device, close } = await connectVolume(engine);
  const load = new SteadyLoad(device, history);
  await far.target.kill();
  await legMissed(engine);
  // Answers from before the loss may still be on their way here.
  await delay(200);
  const before = history.acknowledgedWrites;
  load.expectDeath();
  // Held for longer than a stop may take: without an end of its own it would be cut off, and say so by its code.
  expect(await engine.target.stop()).toBe(0);
  await close();
  await load.end();
  expect(history.acknowledgedWrites).toBe(before);
  await reopen(engine);
  await reopen(far);
  for (const leg of [engine, near, far]) {
    const content = await onLeg(leg, contentOf);
    expect(history.violations(content, 'acknowledged')).toEqual([]);
  }
});
