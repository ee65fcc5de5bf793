import type { OperationView } from '@lariat/contracts';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ImaginedAgents } from './imagined-agents.js';
import { CASES, FOR_EVER_MS, live } from './saga-cases.js';

/** A wait that is over by then need not be told. */
const TOLD_WITHIN_MS = 1_500;

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
});
afterEach(() => {
  vi.useRealTimers();
});

const newAgents = (index?: number): ImaginedAgents =>
  new ImaginedAgents(
    () => Date.now(),
    index === undefined ? undefined : { index, forMs: FOR_EVER_MS },
  );

/** The nodes that the operation's current run waits for, those asked long ago first. */
function waitedFor(agents: ImaginedAgents, { id, state, step, attempt }: OperationView) {
  const run = new RegExp(
    `^${id}/${state === 'undoing' ? 'undo-' : ''}${step}\\.\\d+\\.${attempt}/`,
  );
  return [...agents.unanswered].flatMap(([envelope, wait]) => (run.test(envelope.id) ? wait : []));
}

/** What a person who looks at the operation now would miss, or undefined. */
function unexplained(agents: ImaginedAgents, operation: OperationView): string | undefined {
  const { step, waitingFor, since, lastError, nextTryAt, node, traceId } = operation;
  const at = `${operation.kind}/${step}`;
  if (step === null || traceId === '') return `${at}: no step or no trace`;
  if (waitingFor === null || waitingFor === '') return `${at}: nothing says what it waits for`;
  if (Number.isNaN(Date.parse(since)) || Date.parse(since) > Date.now())
    return `${at}: since ${since}`;
  if (nextTryAt !== null) {
    if (lastError === null) return `${at}: tries again, and does not say why`;
    const { node: culprit = null } = lastError.details ?? {};
    if (node === culprit) return undefined;
    return `${at}: tries ${JSON.stringify(culprit)} again, and names ${node}`;
  }
  const waits = waitedFor(agents, operation);
  const nodes = waits.map((wait) => wait.node);
  const isLong = waits.some(({ sinceMs }) => Date.now() - sinceMs > TOLD_WITHIN_MS);
  if (isLong && (node === null || !nodes.includes(node)))
    return `${at}: waits for ${nodes.join(', ')}, and names ${node}`;
  return undefined;
}

describe.each(Object.entries(CASES))('%s', (_name, what) => {
  it('says at every moment what it waits for, whichever node never answers again', async () => {
    const { sent } = await live(what, newAgents());
    const complaints = new Set<string>();
    let named = 0;
    for (const index of sent.keys()) {
      const agents = newAgents(index);
      await live(what, agents, undefined, (operation) => {
        const found = unexplained(agents, operation);
        if (found !== undefined) complaints.add(found);
        if (operation.node !== null) named += 1;
      });
    }
    expect([...complaints]).toEqual([]);
    expect(named).toBeGreaterThan(0);
  });
});
