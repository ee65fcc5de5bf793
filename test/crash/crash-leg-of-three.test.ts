import { delay } from '@lariat/kernel';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Lab } from '../contract/support/lab.js';
import { writeAt } from '../contract/support/pattern.js';
import { softTarget } from '../contract/support/target-kind.js';
import { waitUntil } from '../contract/support/wait-until.js';
import { SteadyLoad } from './steady-load.js';
import {
  assemble,
  confirmLoss,
  connectVolume,
  contentOf,
  legMissed,
  newHistory,
  newLeg,
  onLeg,
  rejoin,
  reopen,
  type Leg,
} from './three-legs.js';
import type { WriteHistory } from './write-history.js';

const ROUNDS = 100;
let lab: Lab;

beforeEach(async () => {
  lab = await Lab.open(softTarget);
});

afterEach((context) => lab.close(context));

test(`each of three legs holds every acknowledged write, whichever target is killed, ${ROUNDS} times`, async () => {
  const leg = async (name: string) => newLeg(name, await lab.startTarget());
  const engine = await leg('here');
  const remotes = [await leg('near'), await leg('far')] as const;
  const legs = [engine, ...remotes];
  const history = newHistory();
  const killed = new Map<Leg, number>(legs.map((leg) => [leg, 0]));

  await assemble(engine, remotes);
  for (let round = 0; round < ROUNDS; round += 1) {
    const victim = legs[Math.floor(Math.random() * legs.length)] ?? engine;
    killed.set(victim, (killed.get(victim) ?? 0) + 1);
    const violations =
      victim === engine
        ? await killEngine(engine, remotes, history)
        : await killRemote(engine, victim, history);
    expect(violations, `round ${round}, ${victim.name} killed`).toEqual([]);
  }
  expect([...killed.values()].every((times) => times > ROUNDS / 10)).toBe(true);
  expect(history.acknowledgedWrites).toBeGreaterThan(ROUNDS * 20);
});

/** The raid dies with its own leg. Afterwards every leg must hold all that was acknowledged. */
async function killEngine(
  engine: Leg,
  remotes: readonly Leg[],
  history: WriteHistory,
): Promise<readonly string[]> {
  const { device, close } = await connectVolume(engine);
  const load = new SteadyLoad(device, history);
  await delay(10 + Math.random() * 60);
  load.expectDeath();
  await engine.target.kill();
  await close();
  await load.end();
  await reopen(engine);
  const legs = [engine, ...remotes];
  const contents = new Map<Leg, Buffer>();
  for (const leg of legs) contents.set(leg, await onLeg(leg, contentOf));
  const violations = legs.flatMap((leg) =>
    history
      .violations(contents.get(leg) ?? Buffer.alloc(0), 'acknowledged')
      .map((violation) => `${leg.name}: ${violation}`),
  );
  if (violations.length > 0) return violations;
  // What was never acknowledged may be on some only: one is taken, and the others are made like it.
  const source = legs[Math.floor(Math.random() * legs.length)] ?? engine;
  const chosen = contents.get(source) ?? Buffer.alloc(0);
  history.settle(chosen, 'acknowledged');
  for (const leg of legs) {
    if (leg !== source) await onLeg(leg, (device) => writeAt(device, 0, chosen));
  }
  await assemble(engine, remotes);
  return [];
}

/** A leg dies under the raid: what it missed is held back until the loss is on record, and the raid goes on. */
async function killRemote(
  engine: Leg,
  victim: Leg,
  history: WriteHistory,
): Promise<readonly string[]> {
  const { device, close } = await connectVolume(engine);
  const load = new SteadyLoad(device, history);
  await delay(10 + Math.random() * 60);
  await victim.target.kill();
  await legMissed(engine);
  await reopen(victim);
  // What was acknowledged up to here must be on the lost leg as well: its loss is on no record yet.
  const before = history.acknowledgedWrites;
  const lost = await onLeg(victim, contentOf);
  const violations = history
    .violations(lost, 'acknowledged')
    .map((violation) => `${victim.name}: ${violation}`);
  if (history.acknowledgedWrites !== before) violations.push('a write was not held back');
  await confirmLoss(engine, victim);
  await waitUntil('held writes to be acknowledged', 10_000, () =>
    Promise.resolve(history.acknowledgedWrites > before),
  );
  await load.end();
  const content = await contentOf(device);
  violations.push(...history.violations(content, 'acknowledged'));
  if (violations.length > 0) return violations;
  history.settle(content, 'acknowledged');
  await close();
  await rejoin(engine, victim);
  return [];
}
