import { MIB } from '@lariat/kernel';
import { RegisterHistory } from '@lariat/testing';
import { Random } from '../fuzz/support/random.js';
import type { ChaosCluster } from './chaos-cluster.js';
import { BLOCK_BYTES } from './register-blocks.js';
import { RegisterClient, type RegisterWorld, readAll, violationsOf } from './register-client.js';

/** The part of a volume that its users have for themselves, on both sides of a cluster's edge. */
export const USED_BYTES = 2 * MIB;
const CLIENTS = 2;

/**
 * Does the work while others write and read the attached volume without a pause, from `fromBytes` on, `turn` by turn in
 * blocks of their own. Not one of their calls may fail, and what was acknowledged is there after the work.
 */
export async function whileUsed<T>(
  chaos: ChaosCluster,
  volume: string,
  { fromBytes, turn }: { readonly fromBytes: number; readonly turn: number },
  work: () => Promise<T>,
): Promise<T> {
  const { attachment } = await chaos.retrying('the volume to be shown', () =>
    chaos.client.request('volume.get', { volume }),
  );
  if (attachment?.endpoint == null) throw new Error(`${volume} has no endpoint`);
  const attached = { epoch: attachment.epoch, endpoint: attachment.endpoint };
  const first = fromBytes + turn * 2 * BLOCK_BYTES;
  const errors: string[] = [];
  let writes = 0;
  const world: RegisterWorld = {
    history: new RegisterHistory(),
    offsets: [0, BLOCK_BYTES, MIB, MIB + BLOCK_BYTES].map((offset) => first + offset),
    find: () => Promise.resolve(attached),
    takenEpoch: () => 0,
    written: () => {
      writes += 1;
    },
    failed: (error) => void errors.push(String(error)),
  };
  const clients = Array.from(
    { length: CLIENTS },
    (_, index) => new RegisterClient(`u${index}`, world, new Random(`${volume}/${turn}/${index}`)),
  );
  const running = clients.map((client) => client.run());
  const stop = async (): Promise<void> => {
    for (const client of clients) client.stop();
    await Promise.all(running);
  };
  let done: T;
  try {
    done = await work();
  } finally {
    await stop();
  }
  await readAll(world, 'after');
  if (errors.length > 0) throw new Error(`users of ${volume} met: ${errors.join('; ')}`);
  if (writes === 0) throw new Error(`no write to ${volume} was acknowledged meanwhile`);
  const violations = violationsOf(world.history);
  if (violations.length > 0) throw new Error(`${volume} lost data: ${violations.join('; ')}`);
  return done;
}
