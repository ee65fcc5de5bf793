import type { FaultPoints } from '@lariat/kernel';
import type { NatsConnection } from '@nats-io/nats-core';

type MakeFaults = (connection: NatsConnection, process: string) => FaultPoints;

/** With LARIAT_FAULTS=1, and only then, tests may arm faults; the code for it is loaded from libs/testing. */
export async function faultsFromEnvironment(
  env: NodeJS.ProcessEnv,
): Promise<{ faults?: MakeFaults }> {
  if (env.LARIAT_FAULTS !== '1') return {};
  const name = '@lariat/testing';
  const { natsFaultPoints } = (await import(name)) as { natsFaultPoints: MakeFaults };
  return { faults: natsFaultPoints };
}
