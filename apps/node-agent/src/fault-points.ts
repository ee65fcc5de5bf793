import { type FaultPoints, noFaultPoints } from '@lariat/kernel';
import { faultsFromEnvironment } from '@lariat/plugin';
import type { NatsConnection } from '@nats-io/nats-core';

/**
 * The agent's fault points; see CommandExecutor for the names that are reached. They are armed over NATS, and the
 * agent works before it has a connection: until `use` nothing can be armed.
 */
export class AgentFaultPoints implements FaultPoints {
  private points: FaultPoints = noFaultPoints;

  reach(name: string): void | Promise<void> {
    return this.points.reach(name);
  }

  /** Binds the real ones, with LARIAT_FAULTS=1 and only then. */
  async use(connection: NatsConnection, node: string, env: NodeJS.ProcessEnv): Promise<void> {
    const { faults } = await faultsFromEnvironment(env);
    if (faults !== undefined) this.points = faults(connection, `node-agent-${node}`);
  }
}
