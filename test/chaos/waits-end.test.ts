import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ImaginedAgents, type Silence } from './imagined-agents.js';
import { BORROWER, CASES, END_MS, FOR_EVER_MS, type Outcome, live } from './saga-cases.js';

const ENDS = ['succeeded', 'failed'];
const RESTS = ['detached', 'attached'];
const IMAGE_RESTS = ['ready', 'failed'];

/** Why the operation did not end as it should, or undefined. */
function complaint({ state, error, volumes, images, afterMs }: Outcome): string | undefined {
  if (!ENDS.includes(state)) return `${state} after ${afterMs} ms: ${error ?? 'no error'}`;
  const held = volumes.find(({ operation }) => operation !== null);
  if (held !== undefined) return `${state}, and ${held.operation} holds ${held.name}`;
  const unsettled = images.find(
    (image) => image.operation !== null || !IMAGE_RESTS.includes(image.state),
  );
  if (unsettled !== undefined) return `${state}, image ${unsettled.state}`;
  const lent = volumes.find(({ clones = [] }) =>
    clones.some(({ kind, operation }) => kind === 'image' && operation !== BORROWER),
  );
  if (lent !== undefined) return `${state}, and ${lent.name} is kept for an image`;
  const restless = volumes.find((volume) => !RESTS.includes(volume.state));
  return restless === undefined ? undefined : `${state}, ${restless.name} ${restless.state}`;
}

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
});
afterEach(() => {
  vi.useRealTimers();
});

const newAgents = (index?: number, forMs = FOR_EVER_MS): ImaginedAgents =>
  new ImaginedAgents(() => Date.now(), index === undefined ? undefined : { index, forMs });

describe.each(Object.entries(CASES))('%s', (_name, what) => {
  it('ends when every node answers', async () => {
    const outcome = await live(what, newAgents());
    expect(complaint(outcome)).toBeUndefined();
    expect(outcome.state).toBe('succeeded');
    expect(outcome.images).toEqual(expect.arrayContaining([...(what.lostImages?.() ?? [])]));
  });

  it('ends, whichever of its waits for a node meets one that never answers again', async () => {
    const { sent } = await live(what, newAgents());
    const complaints: string[] = [];
    for (const [index, command] of sent.entries()) {
      const found = complaint(await live(what, newAgents(index)));
      if (found !== undefined) complaints.push(`${command} (${index}): ${found}`);
    }
    expect(complaints).toEqual([]);
  });

  it('ends when all nodes fall silent for good, at whatever moment', async () => {
    const complaints: string[] = [];
    let atMs = 0;
    for (let isOver = false; !isOver; atMs += 20) {
      const agents = newAgents();
      const fromMs = Date.now() + atMs;
      for (const node of ['n1', 'n2', 'n3', 'n4'])
        agents.silence(node, { fromMs, toMs: FOR_EVER_MS });
      const outcome = await live(what, agents);
      const found = complaint(outcome);
      if (found !== undefined) complaints.push(`${atMs} ms: ${found}`);
      // It had ended before.
      isOver = outcome.state === 'succeeded' && outcome.afterMs <= 0;
    }
    expect(complaints).toEqual([]);
  });

  it('ends, whatever nodes fall silent, at whatever moments, for however long', async () => {
    const silence = fc.record({
      node: fc.constantFrom('n1', 'n2', 'n3', 'n4'),
      fromMs: fc.integer({ min: 0, max: 400 }),
      forMs: fc.constantFrom(300, 2_000, 9_000, 40_000, FOR_EVER_MS),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(silence, { maxLength: 4 }), async (silences) => {
        const agents = newAgents();
        const nowMs = Date.now();
        for (const { node, fromMs, forMs } of silences) {
          const span: Silence = { fromMs: nowMs + fromMs, toMs: nowMs + fromMs + forMs };
          agents.silence(node, span);
        }
        expect(complaint(await live(what, agents))).toBeUndefined();
      }),
      { numRuns: 25 },
    );
  });
});

describe('the removal of a node that is dead', () => {
  it('ends as soon as if it were one operation, whichever of its waits for another meets one that dies too', async () => {
    const removal = CASES['remove a node'];
    if (removal === undefined) throw new Error('there is no such case');
    const { sent } = await live(removal, newAgents());
    expect(sent.length).toBeGreaterThan(0);
    const late: string[] = [];
    for (const [index, command] of sent.entries()) {
      const { afterMs } = await live(removal, newAgents(index));
      if (afterMs > END_MS) late.push(`${command} (${index}): ${afterMs} ms`);
    }
    expect(late).toEqual([]);
  });
});
