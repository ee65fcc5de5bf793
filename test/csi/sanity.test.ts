import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { whyNoSanity } from './csi-sanity.js';
import { SanityWorld } from './sanity-world.js';
import { MAY_SKIP, NO_DEVICES } from './skipped-specs.js';

const missing = await whyNoSanity();

describe.skipIf(missing !== undefined)(`csi-sanity (${missing ?? 'built with Go'})`, () => {
  let world: SanityWorld;
  const skipped: string[] = [];
  beforeAll(async () => {
    world = await SanityWorld.start({ nodes: 2 });
  });
  afterAll(() => world?.stop());

  it.each(['mount', 'block'] as const)('passes, with %s volumes', async (access) => {
    const result = await world.run(access);
    expect(world.wrongWith(result)).toEqual([]);
    skipped.push(...result.skipped);
    expect(await world.leftovers()).toEqual([]);
  });

  // One each, so that the suite's own list of what was skipped has the reason and the specs.
  it.for([...MAY_SKIP, NO_DEVICES])('passes over specs: $reason', ({ specs }, context) => {
    const met = skipped.filter((spec) => specs.test(spec));
    const isReason = world.maySkip().some((one) => one.specs === specs);
    // A reason that is none any more is to be taken away.
    expect([isReason, met]).toEqual([met.length > 0, met]);
    if (!isReason) return;
    for (const spec of new Set(met)) process.stderr.write(`skipped: ${spec}\n`);
    context.skip();
  });
});
