import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ImaginedAgents } from './imagined-agents.js';
import type { Asked } from './imagined-world.js';
import { CASES, FOR_EVER_MS, live } from './saga-cases.js';
import { type Wait, findCircle } from './waits-for.js';

/** What a request waits for. The handlers of these answer from a record, or change one; they begin no operation. */
const RECORD_OF: Readonly<Record<string, string>> = {
  'node.get': 'record node',
  'node.list': 'record node',
  'internal.node.register': 'record node',
  'internal.node.claim-store': 'record node',
  'internal.node.open-commands': 'record node',
  'image.list': 'record image',
  'internal.image.forget-node': 'record image',
  'internal.image.record': 'record image',
  // It asks no node, but to delete a draft that nobody goes on with.
  'internal.image.recover': 'record image',
  'internal.image.idle-copies': 'record image',
  'internal.volume.users-of-image': 'record volume',
  'operation.get': 'record operation',
  'internal.volume.record': 'record volume',
  'internal.volume.change': 'record volume',
  'internal.volume.report-engine': 'record volume',
  'internal.placement.reserve': 'record allocation',
  'internal.placement.grow': 'record allocation',
  'internal.placement.release': 'record allocation',
  'internal.placement.promise-copy': 'record allocation',
  'internal.placement.release-copy': 'record allocation',
  'internal.placement.restore': 'record allocation',
};

/** What the operations that these begin work on. */
const BEGUN_ON: Readonly<Record<string, string>> = {
  'replica.rebuild': 'operation on volume',
  'replica.remove': 'operation on volume',
  'replica.move': 'operation on volume',
  'internal.image.leave-disk': 'operation on image-copy',
  'internal.image.ensure-copies': 'operation on image-copy',
  'internal.volume.lend-snapshot': 'operation on image-source',
};

/** Any other request is one that begins, or waits for, an operation on what its noun names. */
const waitedFor = (request: string): string =>
  RECORD_OF[request] ??
  BEGUN_ON[request] ??
  `operation on ${request.slice(0, request.indexOf('.'))}`;

const AGENT = join(import.meta.dirname, '../../apps/node-agent/src');

/** The requests that agents make, from their source: an agent that waits for a service is part of the graph. */
function requestsOfAgents(): readonly string[] {
  return readdirSync(AGENT, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .flatMap((name) => [
      ...readFileSync(join(AGENT, name), 'utf8').matchAll(/\.request(?:Raw)?\(\s*'([a-z.-]+)'/g),
    ])
    .map(([, request = '']) => request);
}

/** Each saga, forward and undone from each of its commands: whatever it asks of whom is a wait. */
async function waitsOfSagas(): Promise<readonly Wait[]> {
  const waits = new Map<string, Wait>();
  const note = (asked: readonly Asked[]): void => {
    for (const { saga, subject, what } of asked) {
      const from = `operation on ${subject.slice(0, subject.indexOf('/'))}`;
      const [kind, name = ''] = what.split(' ');
      const to = kind === 'command' ? 'an agent' : waitedFor(name);
      waits.set(`${from}/${to}`, { from, to, because: `${saga}: ${what}` });
    }
  };
  for (const what of Object.values(CASES)) {
    const { sent, asked } = await live(what, new ImaginedAgents(() => Date.now()));
    note(asked);
    for (const index of sent.keys()) {
      const silenceAt = { index, forMs: FOR_EVER_MS };
      const cut = await live(what, new ImaginedAgents(() => Date.now(), silenceAt));
      note(cut.asked);
    }
  }
  return [...waits.values()];
}

describe('who waits for whom', () => {
  beforeEach(() => {
    vi.useFakeTimers({ now: 0 });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('has no circle, whatever the operations and agents wait for', async () => {
    const sagas = await waitsOfSagas();
    const agents = requestsOfAgents();
    expect(agents).toContain('internal.volume.report-engine');
    const waits = [
      ...sagas,
      // Room for a promise is made by deleting idle copies of images; no operation does that.
      { from: 'record allocation', to: 'record image', because: 'internal.image.evict-copies' },
      { from: 'record allocation', to: 'an agent', because: 'internal.image.evict-copies' },
      ...agents.map((name) => ({ from: 'an agent', to: waitedFor(name), because: name })),
    ];
    expect(findCircle(waits)).toBeUndefined();
    // All kinds of waits were met, or their having no circle says little.
    const known = sagas.map(({ from, to }) => `${from} -> ${to}`).toSorted();
    expect(known).toEqual([
      'operation on cluster -> an agent',
      'operation on cluster -> record allocation',
      'operation on cluster -> record image',
      'operation on cluster -> record node',
      'operation on disk -> an agent',
      'operation on disk -> operation on image-copy',
      'operation on disk -> operation on volume',
      'operation on disk -> record image',
      'operation on disk -> record node',
      'operation on image -> an agent',
      'operation on image -> record allocation',
      'operation on image -> record node',
      'operation on image -> record volume',
      'operation on image-copy -> an agent',
      'operation on image-copy -> record allocation',
      'operation on image-copy -> record node',
      'operation on image-name -> an agent',
      'operation on image-name -> operation on image-source',
      'operation on image-name -> record allocation',
      'operation on image-name -> record node',
      'operation on image-name -> record operation',
      'operation on image-name -> record volume',
      'operation on image-source -> an agent',
      'operation on image-source -> record node',
      'operation on image-verify -> an agent',
      'operation on image-verify -> operation on image-copy',
      'operation on image-verify -> record allocation',
      'operation on image-verify -> record image',
      'operation on image-verify -> record node',
      'operation on node -> operation on image-copy',
      'operation on node -> operation on volume',
      'operation on node -> record image',
      'operation on node -> record node',
      'operation on orphan -> an agent',
      'operation on orphan -> record node',
      'operation on snapshot-verify -> an agent',
      'operation on snapshot-verify -> operation on volume',
      'operation on snapshot-verify -> record node',
      'operation on snapshot-verify -> record volume',
      'operation on target -> an agent',
      'operation on target -> record node',
      'operation on volume -> an agent',
      'operation on volume -> operation on image-copy',
      'operation on volume -> record allocation',
      'operation on volume -> record image',
      'operation on volume -> record node',
      'operation on volume -> record volume',
      'operation on volume-name -> an agent',
      'operation on volume-name -> operation on image-copy',
      'operation on volume-name -> record allocation',
      'operation on volume-name -> record image',
      'operation on volume-name -> record node',
      'operation on volume-replicas -> operation on volume',
      'operation on volume-replicas -> record volume',
    ]);
  }, 300_000);
});

describe('the search for circles', () => {
  const wait = (from: number, to: number): Wait => ({ from: `${from}`, to: `${to}`, because: '' });
  const number = fc.integer({ min: 0, max: 8 });

  it('finds none where every wait is for something later', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(number, number)), (pairs) => {
        const waits = pairs
          .filter(([one, other]) => one !== other)
          .map(([one, other]) => wait(Math.min(one, other), Math.max(one, other)));
        expect(findCircle(waits)).toBeUndefined();
      }),
    );
  });

  it('finds one in any graph that holds one, and gives its waits in order', () => {
    const circle = fc.shuffledSubarray([0, 1, 2, 3, 4, 5], { minLength: 1 });
    fc.assert(
      fc.property(fc.array(fc.tuple(number, number)), circle, (pairs, nodes) => {
        const ring = nodes.map((node, index) => wait(node, nodes[(index + 1) % nodes.length] ?? 0));
        const found = findCircle([...pairs.map(([from, to]) => wait(from, to)), ...ring]) ?? [];
        expect(found.length).toBeGreaterThan(0);
        for (const [index, { to }] of found.entries())
          expect(found[(index + 1) % found.length]?.from).toBe(to);
      }),
    );
  });
});
