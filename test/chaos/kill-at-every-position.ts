import { readFileSync } from 'node:fs';
import { delay } from '@lariat/kernel';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ChaosCluster } from './chaos-cluster.js';
import { drawn } from './drawn.js';

const DRAWS = 8;

export interface KillPlan {
  readonly nodes: number;
  /** Processes whose positions are taken, e.g. `volume-svc`, `node-agent-n1`. */
  readonly processes: readonly string[];
  /** Kinds of the sagas that it goes through: each must be among the positions taken. */
  readonly sagas: readonly string[];
  /** What is done while the process dies. */
  readonly work: (chaos: ChaosCluster, volume: string) => Promise<void>;
  readonly takes: (point: string) => boolean;
  /** Who dies when a process is there; default the process itself, else one that is started again, e.g. `nats`. */
  readonly victim?: string;
  /** The victim is not killed: it is frozen, and goes on after this time. */
  readonly frozenMs?: number;
  /** Positions that this many runs must find at least, or the recording is broken. */
  readonly atLeast: number;
  /** Positions that one run takes, drawn from all; default 8. With `lariat test --soak` it takes all. */
  readonly draws?: number;
}

export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

export async function untilDead(pid: number): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (isAlive(pid) && performance.now() < deadline) await delay(20);
}

const say = (text: string): void => void process.stderr.write(`${text}\n`);

/**
 * Does the work once to learn which positions it passes, and then once for each of them, with SIGKILL to the
 * process that reaches it, or to another at that moment. Each time every operation must end finished or undone, and nothing may be left.
 */
export function killAtEveryPosition(plan: KillPlan): void {
  let chaos: ChaosCluster;
  beforeAll(async () => {
    chaos = await ChaosCluster.start(plan.nodes);
  });
  afterAll(async () => {
    await chaos.stop();
  });

  it(
    'ends finished or undone, with nothing left, wherever a process is killed',
    async ({ task }) => {
      await chaos.whole();
      await plan.work(chaos, 'recording');
      const positions: { process: string; point: string }[] = [];
      for (const process of plan.processes) {
        for (const point of await chaos.reached(process))
          if (plan.takes(point)) positions.push({ process, point });
      }
      expect(positions.length).toBeGreaterThanOrEqual(plan.atLeast);
      const missed = plan.sagas.filter(
        (saga) => !positions.some(({ point }) => point.startsWith(`saga/${saga}/`)),
      );
      expect(missed).toEqual([]);
      const taken = drawn(task.suite?.name ?? task.name, positions, plan.draws ?? DRAWS);
      const failures: string[] = [];
      for (const [index, { process, point }] of taken.entries()) {
        const began = performance.now();
        const failure = await surviveKill(chaos, plan, `v${index}`, process, point).then(
          () => undefined,
          (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
        );
        const tookMs = Math.round(performance.now() - began);
        if (failure === undefined) {
          say(`ok   ${process} ${point} (${tookMs} ms)`);
          continue;
        }
        const cause = failure.cause instanceof Error ? failure.cause.message : '';
        failures.push(`${process} at ${point}: ${failure.message} ${cause}`);
        say(`FAIL ${process} ${point} (${tookMs} ms): ${failure.message} ${cause}`);
        // What the first one left over would fail all that follow.
        break;
      }
      expect(failures).toEqual([]);
    },
    process.env.LARIAT_SOAK === undefined ? 20 * 60_000 : 3 * 3_600_000,
  );
}

/** Whether the process was frozen before the work had ended. */
async function thawAfter(frozenMs: number, pid: number, work: Promise<void>): Promise<boolean> {
  let isOver = false;
  const over = (): void => {
    isOver = true;
  };
  work.then(over, over);
  while (!isOver && !isFrozen(pid)) await delay(20);
  if (!isFrozen(pid)) return false;
  await delay(frozenMs);
  process.kill(pid, 'SIGCONT');
  return true;
}

/** The state is behind the name, which stands in brackets and may hold anything. */
export const isFrozen = (pid: number): boolean =>
  readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.startsWith('T') === true;

async function surviveKill(
  chaos: ChaosCluster,
  plan: KillPlan,
  volume: string,
  process: string,
  point: string,
): Promise<void> {
  await chaos.whole();
  const victim = plan.victim === undefined ? {} : { victim: chaos.pidOf(plan.victim) };
  const { frozenMs } = plan;
  const action = frozenMs === undefined ? 'kill' : 'freeze';
  const pid = await chaos.arm(process, { point, action, ...victim });
  const work = plan.work(chaos, volume);
  const wasReached = await (frozenMs === undefined
    ? work.then(() => untilDead(pid)).then(() => !isAlive(pid))
    : thawAfter(frozenMs, pid, work));
  await work;
  if (!wasReached) throw new Error(`the work did not reach ${point}`);
  const leftovers = await chaos.leftovers();
  if (leftovers.length > 0) throw new Error(`left over: ${leftovers.join('; ')}`);
}
