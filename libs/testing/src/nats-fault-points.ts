import { FAULT_SUBJECT_PREFIX } from '@lariat/bus';
import type { FaultPoints } from '@lariat/kernel';
import type { NatsConnection } from '@nats-io/nats-core';

/** What an armed point does when it is reached. */
export interface Fault {
  readonly point: string;
  /**
   * `kill`: SIGKILL to this process, or to `victim`, and then it goes on. `freeze`: SIGSTOP to `victim`, and it goes on.
   * `throw`: an error from there. `stop`: never goes on.
   */
  readonly action: 'kill' | 'freeze' | 'throw' | 'stop';
  /** Pid of another process, which the fault is for; default this one. */
  readonly victim?: number;
  /** Reached this often before it acts; default 0. */
  readonly skip?: number;
}

export { FAULT_SUBJECT_PREFIX };

/**
 * Fault points that a test arms by request: `lariat.v1.test.fault.<process>.arm` with a Fault, `.clear`,
 * `.reached` for the names reached so far. Only in processes started with LARIAT_FAULTS=1.
 */
export function natsFaultPoints(connection: NatsConnection, processName: string): FaultPoints {
  const armed = new Map<string, { fault: Fault; left: number }>();
  const reached = new Set<string>();
  const answer = (verb: string, handle: (body: string) => unknown): void => {
    connection.subscribe(`${FAULT_SUBJECT_PREFIX}.${processName}.${verb}`, {
      callback: (error, message) => {
        if (error === null) message.respond(JSON.stringify(handle(message.string())));
      },
    });
  };
  answer('arm', (body) => {
    const fault = JSON.parse(body) as Fault;
    armed.set(fault.point, { fault, left: fault.skip ?? 0 });
    return { armed: fault.point, pid: fault.victim ?? process.pid };
  });
  answer('clear', () => {
    armed.clear();
    reached.clear();
    return {};
  });
  answer('reached', () => [...reached]);
  return {
    reach: (name) => {
      reached.add(name);
      const entry = armed.get(name);
      if (entry === undefined) return undefined;
      if (entry.left > 0) {
        entry.left -= 1;
        return undefined;
      }
      armed.delete(name);
      switch (entry.fault.action) {
        case 'kill':
          process.kill(entry.fault.victim ?? process.pid, 'SIGKILL');
          if (entry.fault.victim !== undefined) return undefined;
          // The signal is on its way: nothing after the point may happen.
          return new Promise(() => undefined);
        case 'freeze':
          process.kill(entry.fault.victim ?? process.pid, 'SIGSTOP');
          return undefined;
        case 'stop':
          return new Promise(() => undefined);
        case 'throw':
          throw new Error(`fault point '${name}'`);
      }
    },
  };
}
