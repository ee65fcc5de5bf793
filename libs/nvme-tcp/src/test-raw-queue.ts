import { AdminQueue, connectQueue } from './host/admin-queue.js';
import { NvmeCommandError } from './host/host-error.js';
import { QueuePair } from './host/queue-pair.js';
import { DYNAMIC_CONTROLLER_ID } from './nvme/fabrics.js';
import { statusCode } from './nvme/status.js';
import type { ListenAddress } from './target/listen-port.js';
import { type Cleanup, HOST_NQN, SUBSYSTEM_NQN } from './test-support.js';

export interface RawConnect {
  readonly subnqn?: string;
  readonly hostnqn?: string;
  readonly queueId?: number;
  readonly queueSize?: number;
  readonly controllerId?: number;
  readonly keepAliveTimeoutMs?: number;
  /** 16 bytes. */
  readonly hostId?: Buffer;
}

/** An admin queue, or with a queueId an I/O queue, of which the test sends every command itself. */
export async function connectRaw(
  cleanup: Cleanup,
  address: ListenAddress,
  fields: RawConnect = {},
): Promise<AdminQueue & { id: number }> {
  const { queue, ready } = QueuePair.open(
    { ...address, headerDigest: false, dataDigest: false, sizeEntries: 32 },
    () => undefined,
  );
  cleanup.add(async () => queue.close(new Error('test over')));
  await ready;
  const id = await connectQueue(
    queue,
    {
      recordFormat: 0,
      queueId: fields.queueId ?? 0,
      queueSize: fields.queueSize ?? 31,
      attributes: 0,
      keepAliveTimeoutMs: fields.keepAliveTimeoutMs ?? 0,
    },
    {
      hostId: fields.hostId ?? Buffer.alloc(16, 1),
      controllerId: fields.controllerId ?? DYNAMIC_CONTROLLER_ID,
      subsystemNqn: fields.subnqn ?? SUBSYSTEM_NQN,
      hostNqn: fields.hostnqn ?? HOST_NQN,
    },
  );
  return Object.assign(new AdminQueue(queue), { id });
}

/** The status that a command fails with, without its do-not-retry bit. */
export async function statusOf(
  work: Promise<unknown>,
): Promise<{ readonly code: number; readonly dword0: number }> {
  try {
    await work;
  } catch (error) {
    if (error instanceof NvmeCommandError)
      return { code: statusCode(error.status), dword0: error.dword0 };
    throw error;
  }
  throw new Error('the command succeeded');
}
