/** What the kernel says of a block device, without reading it. */
export interface DeviceFacts {
  /** `/dev/loop3` */
  readonly path: string;
  readonly majorMinor: string;
  readonly sizeBytes: number;
  /** What it stands on: a file, a device-mapper uuid, a namespace's uuid. */
  readonly identity: readonly string[];
}

/** An attachment, as far as its device can be told by it. */
export interface WantedDevice {
  readonly volume: string;
  readonly epoch: number;
}

/**
 * Why it is not the device of that attachment; undefined when it is. Agents name what a device stands on by the volume, and
 * by the epoch where they have several lives of one: `…/vol-….3.1/nbd`.
 */
export function whyNotDevice(
  { path, identity }: DeviceFacts,
  { volume, epoch }: WantedDevice,
): string | undefined {
  const own = identity.find((text) => text.includes(volume));
  if (own === undefined)
    return `${path} stands on ${identity.join(', ') || 'nothing known'}, not on volume ${volume}`;
  const named = own.slice(own.indexOf(volume) + volume.length).match(/^[.-](\d+)/);
  if (named !== null && Number(named[1]) !== epoch)
    return `${path} is of epoch ${named[1]}, not of ${epoch}`;
  return undefined;
}
