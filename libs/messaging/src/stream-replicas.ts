import { lariatError } from '@lariat/contracts';
import type { KvOptions } from '@nats-io/kv';

type Environment = Readonly<Record<string, string | undefined>>;

const ALLOWED = [1, 3, 5];

/** LARIAT_NATS_REPLICAS: on how many servers of a NATS cluster what this process makes is kept; undefined when nobody said. */
export function wantedReplicas(env: Environment = process.env): number | undefined {
  const text = env['LARIAT_NATS_REPLICAS'] ?? '';
  if (text === '') return undefined;
  if (ALLOWED.includes(Number(text))) return Number(text);
  throw lariatError(
    'NATS_REPLICAS_INVALID',
    `LARIAT_NATS_REPLICAS='${text}' must be 1, 3 or 5: the number of NATS servers that keep each stream.`,
    { replicas: text },
  );
}

/** For a bucket that is made. Of several copies only the leader's may be read: the others can be behind it. */
export function bucketReplicas(
  env: Environment = process.env,
): Partial<Pick<KvOptions, 'replicas' | 'allow_direct'>> {
  const replicas = wantedReplicas(env) ?? 1;
  return replicas === 1 ? {} : { replicas, allow_direct: false };
}
