import type { DeviceFacts } from '../domain/device.js';
import { WRONG_PASSPHRASE, luksClose, luksOpen } from '../domain/encryption-commands.js';
import { type Mapping, isMappingOf, mappingNameOf, mappingsOf } from '../domain/mapping.js';
import { Refusal } from '../domain/refusal.js';
import type { ReadyDevice } from './await-device.js';
import type { NodeMachine, Work } from './node-machine.js';

interface Header {
  readonly uuid: string;
  readonly passphrase: string;
}

/** The device under the header of an encrypted volume: opened, or found open. */
export async function openMapping(
  machine: NodeMachine,
  work: Work,
  { volume, epoch, device: below }: ReadyDevice,
  { uuid, passphrase }: Header,
): Promise<DeviceFacts> {
  const name = mappingNameOf(volume.id, epoch, below);
  const isRight = (mapping: Mapping): boolean => isMappingOf(mapping, below, { name, uuid });
  const there = mappingsOf(await machine.host.mappings(), volume.id);
  // Of an attachment that has ended, of a device that is gone, or of a stage that died while it opened it.
  for (const dead of there.filter((mapping) => !isRight(mapping)))
    await putAway(machine, work, dead);
  const open = there.find(isRight);
  if (open !== undefined) return open.device;
  const why = 'open what is encrypted';
  const program = luksOpen(below.path, name, passphrase);
  const { code, stderr } = await machine.run(work, program, why, 'long', below);
  if (code === WRONG_PASSPHRASE) {
    throw new Refusal(
      'FAILED_PRECONDITION',
      `Volume '${volume.name}' does not open with the passphrase of the secret: give the one that it was made with.`,
    );
  }
  const opened = mappingsOf(await machine.host.mappings(), volume.id).find(isRight);
  if (opened !== undefined) return opened.device;
  throw new Refusal(
    'UNAVAILABLE',
    `Volume '${volume.name}' can't be opened yet (cryptsetup: ${code}, ${stderr.trim().slice(-300)}): ask again.`,
  );
}

/** Closes what is open of the volume; whoever still uses it is not cut off. */
export async function closeMappings(machine: NodeMachine, work: Work): Promise<void> {
  for (const mapping of mappingsOf(await machine.host.mappings(), work.volume)) {
    const { code, stderr } = await close(machine, work, mapping, 'now');
    if (code === 0 || !(await isThere(machine, work, mapping))) continue;
    const probe = await machine.probe(work, mapping.device.path);
    if (probe.kind !== 'unknown')
      throw new Refusal(
        'ABORTED',
        `${mapping.name} can't be closed yet: ${stderr.trim().slice(-300)}`,
      );
    await putAway(machine, work, mapping);
  }
}

/** A dead one: what is mounted from it has nothing beneath it any more. */
async function putAway(machine: NodeMachine, work: Work, mapping: Mapping): Promise<void> {
  const mounts = await machine.host.mounts();
  const from = mounts.filter(({ majorMinor }) => majorMinor === mapping.device.majorMinor);
  for (const path of new Set(from.map((mount) => mount.path))) await machine.unmountAll(work, path);
  await close(machine, work, mapping, 'deferred');
}

const close = (machine: NodeMachine, work: Work, { name }: Mapping, how: 'now' | 'deferred') =>
  machine.run(work, luksClose(name, how), 'close what was encrypted', 'long');

async function isThere(machine: NodeMachine, work: Work, { name }: Mapping): Promise<boolean> {
  const left = mappingsOf(await machine.host.mappings(), work.volume);
  return left.some((mapping) => mapping.name === name);
}
