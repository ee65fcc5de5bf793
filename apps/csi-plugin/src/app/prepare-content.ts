import { FsType, type VolumeContent } from '@lariat/contracts';
import { delay, newUuid } from '@lariat/kernel';
import { isSameDevice } from '../domain/device.js';
import { check, mkfs } from '../domain/file-system-commands.js';
import { Refusal } from '../domain/refusal.js';
import { explainStage, nextStageStep } from '../domain/stage-decision.js';
import type { ClusterPort } from '../ports/cluster.port.js';
import { type ReadyDevice, awaitDevice } from './await-device.js';
import type { NodeMachine, Work } from './node-machine.js';

export interface ContentParts {
  readonly cluster: ClusterPort;
  readonly machine: NodeMachine;
  readonly node: string;
}

const POLL_MS = 500;

/** A device with something to mount. */
export interface PreparedDevice extends ReadyDevice {
  /** Null: not known, the kernel finds it. */
  readonly fsType: string | null;
}

/**
 * Leads the volume's content to where it can be mounted, one step of STAGE_TABLE at a time, each from the record and the
 * device as they are then: whoever dies in between is followed by one who goes on from there.
 */
export async function prepareContent(
  parts: ContentParts,
  work: Work,
  wantedFsType: FsType,
): Promise<PreparedDevice> {
  const { cluster, machine, node } = parts;
  let hasFormatted = false;
  for (;;) {
    const ready = await awaitDevice({ cluster, host: machine.host, node }, work.volume, work.scope);
    const { content } = ready.volume;
    const probe = await machine.probe(work, ready.device.path);
    // What was read may have been another device's that took the path meanwhile.
    const isSame = await isStillThere(parts, ready);
    const step = isSame ? nextStageStep(content, probe) : 'wait';
    const tell = async (event: 'intend-format' | 'formatted', fsType: FsType, uuid: string) => {
      const body = { volume: ready.volume.id, epoch: ready.epoch, event, fsType, uuid };
      await cluster.request('internal.volume.set-content', body, work.scope);
    };
    switch (step) {
      case 'mount':
        return { ...ready, fsType: probe.kind === 'present' ? probe.fsType : null };
      case 'intend':
        await tell('intend-format', wantedFsType, newUuid());
        break;
      case 'format': {
        const { fsType, uuid } = intendedOf(content);
        if (hasFormatted) throw notReadBack(ready);
        await format(parts, work, ready, fsType, uuid);
        hasFormatted = true;
        break;
      }
      case 'confirm': {
        const { fsType, uuid } = intendedOf(content);
        const why = 'see whether the mkfs that was begun has ended';
        const { code } = await machine.run(work, check(fsType, ready.device.path), why, 'long');
        if (code !== 0) {
          if (hasFormatted) throw notReadBack(ready);
          // Nothing was ever mounted: what an mkfs that died has left is made anew.
          await format(parts, work, ready, fsType, uuid);
          hasFormatted = true;
        } else if (await isStillThere(parts, ready)) await tell('formatted', fsType, uuid);
        break;
      }
      case 'refuse':
        throw new Refusal(
          'FAILED_PRECONDITION',
          `Volume '${ready.volume.name}' has nothing to mount: ${explainStage(content, probe)}.`,
        );
      case 'wait':
        if (work.scope.leftMs() <= POLL_MS || work.scope.signal.aborted) {
          throw new Refusal(
            'UNAVAILABLE',
            `Volume '${ready.volume.name}' can't be mounted now: ${isSame ? explainStage(content, probe) : 'its device has changed'}.`,
          );
        }
        await delay(POLL_MS, work.scope.signal);
    }
  }
}

/** The device is looked at before and after: the next look says what has become of it, not the program's code alone. */
async function format(
  parts: ContentParts,
  work: Work,
  ready: ReadyDevice,
  fsType: FsType,
  uuid: string,
): Promise<void> {
  if (!(await isStillThere(parts, ready))) return;
  const why = 'make the file system that is intended on record';
  const { device } = ready;
  await parts.machine.do(work, mkfs(fsType, uuid, device.path), why, 'long', device);
}

/** Whether the path still leads to the very device, of the attachment that there is. */
async function isStillThere(
  { machine }: ContentParts,
  { volume, device }: ReadyDevice,
): Promise<boolean> {
  return isSameDevice(device, await machine.host.describe(volume.attachment?.endpoint ?? ''));
}

function intendedOf(content: VolumeContent): { readonly fsType: FsType; readonly uuid: string } {
  const fsType =
    'fsType' in content ? Object.values(FsType).find((one) => one === content.fsType) : undefined;
  if (fsType !== undefined && 'uuid' in content) return { fsType, uuid: content.uuid };
  throw new Refusal('INTERNAL', `No format is intended on record (${content.state}).`);
}

/** A device that takes writes and does not keep them is not formatted over and over. */
const notReadBack = ({ volume, device }: ReadyDevice): Refusal =>
  new Refusal(
    'UNAVAILABLE',
    `Volume '${volume.name}' was formatted, and ${device.path} does not read so: ask again.`,
  );
