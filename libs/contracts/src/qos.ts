/** What the hosts of a volume may do at most, each second; null is no limit. */
export interface VolumeQos {
  /** Reads and writes; whole thousands, the step in which a target counts them. */
  readonly rwIops: number | null;
  /** MiB read and written. */
  readonly rwMbps: number | null;
  /** MiB read. */
  readonly readMbps: number | null;
  /** MiB written. */
  readonly writeMbps: number | null;
}

/** A volume that has said nothing of limits has none. */
export const NO_QOS: VolumeQos = Object.freeze({
  rwIops: null,
  rwMbps: null,
  readMbps: null,
  writeMbps: null,
});

/** SPDK_BDEV_QOS_MIN_IOS_PER_SEC (lib/bdev/bdev.c): a limit is a multiple of it. */
const IOPS_STEP = 1000;

/** The limits with a request's changes: what that leaves out stays, null takes a limit away. */
export function withQos(before: VolumeQos | undefined, asked: Partial<VolumeQos>): VolumeQos {
  const limit = (name: keyof VolumeQos): number | null => {
    const wanted = asked[name];
    return wanted === undefined ? (before ?? NO_QOS)[name] : wanted;
  };
  const rwIops = limit('rwIops');
  return {
    rwIops: rwIops === null ? null : Math.ceil(rwIops / IOPS_STEP) * IOPS_STEP,
    rwMbps: limit('rwMbps'),
    readMbps: limit('readMbps'),
    writeMbps: limit('writeMbps'),
  };
}
