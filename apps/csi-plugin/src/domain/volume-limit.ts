import type { NodeView } from '@lariat/contracts';
import { GIB, MIB } from '@lariat/kernel';

export interface VolumeLimit {
  readonly count: number;
  readonly reason: string;
}

/** Beyond it the CPU of one node is not enough to look after them all. */
const MOST = 1_000;
/** An NBD server, which is a Node.js process, and nbdfuse. */
const SERVED_BYTES = 64 * MIB;
/** A connection with two queues, and a device-mapper device. */
const KERNEL_BYTES = 4 * MIB;

/** How many volumes the node can use at once: in half of its memory, by what each takes there. What is asked for wins. */
export function volumeLimit(
  { name, frontends }: Pick<NodeView, 'name' | 'frontends'>,
  memoryBytes: number,
  asked: number | undefined,
): VolumeLimit {
  if (asked !== undefined) return { count: asked, reason: 'as --max-volumes says' };
  const isKernel = frontends.some((offer) => offer.frontend === 'kernel' && offer.available);
  const [frontend, eachBytes] = isKernel ? ['kernel', KERNEL_BYTES] : ['loop', SERVED_BYTES];
  const fitting = Math.floor(memoryBytes / 2 / eachBytes);
  return {
    count: Math.max(1, Math.min(MOST, fitting)),
    reason:
      fitting > MOST
        ? `no node is given more than ${MOST}`
        : `half of the ${(memoryBytes / GIB).toFixed(1)} GiB of '${name}', ${eachBytes / MIB} MiB a volume under '${frontend}'`,
  };
}
