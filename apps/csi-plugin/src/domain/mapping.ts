import type { DeviceFacts } from './device.js';

/** A device of the device mapper, as the kernel tells of it without reading it. */
export interface Mapping {
  readonly name: string;
  readonly device: DeviceFacts;
  /** Numbers of the devices below it; none while it has no table. */
  readonly standsOn: readonly string[];
}

/** How cryptsetup names what it maps, to the kernel: with the header's uuid and the name that it was asked for. */
const OURS = /^CRYPT-LUKS[12]-[0-9a-f]{32}-(?<name>lariat-(?<volume>vol-[^.]+)-\d+\.\d+)$/;

/** Of a loop device or a device-mapper device of an agent (docs/adr/0028), which life of the attachment's device it is. */
const LIVES: readonly RegExp[] = [/\.(?<life>\d+)\/nbd$/, /^LARIAT-.*\.(?<life>\d+)$/];

/** Under what name an attachment's device is opened: another life of it has another one, so that a dead one is in nobody's way. */
export function mappingNameOf(volume: string, epoch: number, { footing }: DeviceFacts): string {
  const text = footing?.text ?? '';
  const life = LIVES.map((pattern) => pattern.exec(text)?.groups?.['life']).find(
    (found) => found !== undefined,
  );
  return `lariat-${volume}-${epoch}.${life ?? 0}`;
}

/** Those of the volume that were opened here; of anybody else's none, whatever they stand on. */
export const mappingsOf = (mappings: readonly Mapping[], volume: string): readonly Mapping[] =>
  mappings.filter(({ name, device }) => {
    const named = OURS.exec(device.footing?.text ?? '')?.groups;
    return named?.['volume'] === volume && named['name'] === name;
  });

/** Whether it shows what is on the device, under the header of that uuid. */
export const isMappingOf = (
  { name, device, standsOn }: Mapping,
  below: DeviceFacts,
  wanted: { readonly name: string; readonly uuid: string },
): boolean =>
  name === wanted.name &&
  standsOn.length === 1 &&
  standsOn[0] === below.majorMinor &&
  device.footing?.text.includes(`-${wanted.uuid.replaceAll('-', '')}-`) === true;
