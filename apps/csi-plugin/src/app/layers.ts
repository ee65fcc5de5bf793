import type { FormatType, VolumeContent } from '@lariat/contracts';
import { type DeviceFacts, isSameDevice } from '../domain/device.js';
import { DATA_OFFSET_BYTES } from '../domain/encryption-commands.js';
import type { Probe } from '../domain/superblock.js';
import { type ReadyDevice, awaitDevice } from './await-device.js';
import { openMapping } from './mappings.js';
import type { NodeMachine, Work } from './node-machine.js';
import type { ClusterPort } from '../ports/cluster.port.js';

export interface LayerParts {
  readonly cluster: ClusterPort;
  readonly machine: NodeMachine;
  readonly node: string;
}

/** What a layer is on: the device that can be formatted, and what is on record of it. */
export interface LayerDevice extends ReadyDevice {
  readonly content: VolumeContent;
  /** The attachment's own device, below all layers. */
  readonly below: DeviceFacts;
}

/** One of the things that lie on a volume's device, each under the one before: a header, a file system. */
export interface Layer {
  readonly wanted: FormatType;
  /** What a header is made with, and opened. */
  readonly passphrase: string;
  readonly isInside: boolean;
  find(): Promise<LayerDevice>;
  probe(found: LayerDevice): Promise<Probe>;
}

/** Whether the path still leads to the very device, of the attachment that there is. */
export async function isStillThere(
  { machine }: LayerParts,
  { volume, below, device }: LayerDevice,
): Promise<boolean> {
  if (!isSameDevice(below, await machine.host.describe(volume.attachment?.endpoint ?? '')))
    return false;
  return device === below || isSameDevice(device, await machine.host.describe(device.path));
}

/** What lies on the attachment's device. */
export function outerLayer(
  { cluster, machine, node }: LayerParts,
  work: Work,
  { wanted, passphrase }: Pick<Layer, 'wanted' | 'passphrase'>,
): Layer {
  return {
    ...{ wanted, passphrase, isInside: false },
    find: async () => {
      const at = { cluster, host: machine.host, node };
      const ready = await awaitDevice(at, work.volume, work.scope);
      return { ...ready, content: ready.volume.content, below: ready.device };
    },
    probe: ({ device }) => machine.probe(work, device.path),
  };
}

/** What lies under the header of that uuid. */
export function innerLayer(
  parts: LayerParts,
  work: Work,
  {
    uuid,
    ...asked
  }: Pick<Layer, 'wanted' | 'passphrase'> & {
    readonly uuid: string;
  },
): Layer {
  const outer = outerLayer(parts, work, asked);
  const { machine } = parts;
  const { passphrase } = asked;
  return {
    ...{ ...asked, isInside: true },
    find: async () => {
      const found = await outer.find();
      const device = await openMapping(machine, work, found, { uuid, passphrase });
      return { ...found, device, content: insideOf(found.content) };
    },
    probe: async ({ device, below }) => {
      const seen = await machine.probe(work, device.path);
      if (seen.kind !== 'present' || seen.fsType !== null) return seen;
      // Through a key what was never written reads as anything. Below the key it reads as zeros (invariant 10).
      const under = await machine.probe(work, below.path, DATA_OFFSET_BYTES);
      return under.kind === 'present' ? seen : under;
    },
  };
}

/** Of a header that somebody else has made it is not on record what lies under it. */
const insideOf = (content: VolumeContent): VolumeContent =>
  content.state === 'initialised' ? (content.inside ?? { state: 'foreign' }) : { state: 'foreign' };
