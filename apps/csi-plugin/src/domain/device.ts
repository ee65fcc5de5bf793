/** What the kernel says of a block device, without reading it. */
export interface DeviceFacts {
  /** `/dev/loop3` */
  readonly path: string;
  readonly majorMinor: string;
  readonly sizeBytes: number;
  /** Undefined: it is no device that an agent makes. */
  readonly footing: Footing | undefined;
}

/** What a device stands on, as long as it is open: the number of a closed one may be another's a moment later. */
export interface Footing {
  /** The file under /sys that tells it. */
  readonly toldBy: string;
  /** Of a loop device the path of its file, of a device-mapper device its uuid. */
  readonly text: string;
}

/** An attachment, as far as its device can be told by it. */
export interface WantedDevice {
  readonly volume: string;
  readonly epoch: number;
}

/** How agents name what their devices stand on (docs/adr/0028), and this plugin what it opens: volume, epoch, and which life of it. */
const FOOTINGS: readonly RegExp[] = [
  /\/(?<volume>vol-[^/.]+)\.(?<epoch>\d+)\.\d+\/nbd$/,
  /^LARIAT-(?<volume>vol-[^.]+)-(?<epoch>\d+)\.\d+$/,
  /^CRYPT-LUKS[12]-[0-9a-f]{32}-lariat-(?<volume>vol-[^.]+)-(?<epoch>\d+)\.\d+$/,
];

/** Why it is not the device of that attachment; undefined when it is. Its own name says nothing of that. */
export function whyNotDevice(
  { path, footing }: DeviceFacts,
  { volume, epoch }: WantedDevice,
): string | undefined {
  const text = footing?.text ?? '';
  const named = FOOTINGS.map((pattern) => pattern.exec(text)?.groups).find(
    (groups) => groups !== undefined,
  );
  if (named?.['volume'] !== volume)
    return `${path} stands on ${text === '' ? 'nothing known' : text}, not on volume ${volume}`;
  if (Number(named['epoch']) !== epoch)
    return `${path} is of epoch ${named['epoch']}, not of ${epoch}`;
  return undefined;
}

/** Whether two looks have found the very same device. */
export const isSameDevice = (one: DeviceFacts, other: DeviceFacts | undefined): boolean =>
  other !== undefined &&
  other.path === one.path &&
  other.majorMinor === one.majorMinor &&
  other.footing?.text === one.footing?.text;
