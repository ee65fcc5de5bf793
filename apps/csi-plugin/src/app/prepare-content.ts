import { FormatType, type VolumeContent } from '@lariat/contracts';
import { delay, newUuid } from '@lariat/kernel';
import { type Format, check, mkfs } from '../domain/file-system-commands.js';
import { Refusal } from '../domain/refusal.js';
import { explainStage, nextStageStep } from '../domain/stage-decision.js';
import { type Layer, type LayerDevice, type LayerParts, isStillThere } from './layers.js';
import type { Work } from './node-machine.js';

const POLL_MS = 500;

/** A device with something to mount, or to open. */
export interface PreparedDevice extends LayerDevice {
  /** Null: not known, the kernel finds it. */
  readonly fsType: string | null;
  readonly uuid: string | null;
}

/**
 * Leads what is on record of a layer to where it can be used, one step of STAGE_TABLE at a time, each from the record and the
 * device as they are then: whoever dies in between is followed by one who goes on from there.
 */
export async function prepareContent(
  parts: LayerParts,
  work: Work,
  layer: Layer,
): Promise<PreparedDevice> {
  const { cluster, machine } = parts;
  const { passphrase } = layer;
  let hasFormatted = false;
  for (;;) {
    const ready = await layer.find();
    const { content } = ready;
    const probe = await layer.probe(ready);
    // What was read may have been another device's that took the path meanwhile.
    const isSame = await isStillThere(parts, ready);
    const step = isSame ? nextStageStep(content, probe) : 'wait';
    const tell = async (event: 'intend-format' | 'formatted', fsType: FormatType, uuid: string) => {
      const about = { volume: ready.volume.id, epoch: ready.epoch, event, fsType, uuid };
      const body = layer.isInside ? { ...about, inside: true } : about;
      await cluster.request('internal.volume.set-content', body, work.scope);
    };
    switch (step) {
      case 'mount':
        return probe.kind === 'present'
          ? { ...ready, fsType: probe.fsType, uuid: probe.uuid }
          : { ...ready, fsType: null, uuid: null };
      case 'intend':
        await tell('intend-format', layer.wanted, newUuid());
        break;
      case 'format': {
        if (hasFormatted) throw notReadBack(ready);
        await format(parts, work, ready, { ...intendedOf(content), passphrase });
        hasFormatted = true;
        break;
      }
      case 'confirm': {
        const { fsType, uuid } = intendedOf(content);
        const intended = { fsType, uuid, passphrase };
        const why = 'see whether the mkfs that was begun has ended';
        const { code } = await machine.run(work, check(intended, ready.device.path), why, 'long');
        if (code !== 0) {
          if (hasFormatted) throw notReadBack(ready);
          // Nothing was ever mounted: what an mkfs that died has left is made anew.
          await format(parts, work, ready, intended);
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
  parts: LayerParts,
  work: Work,
  ready: LayerDevice,
  intended: Format,
): Promise<void> {
  if (!(await isStillThere(parts, ready))) return;
  const why = 'make what is intended on record';
  const { device } = ready;
  await parts.machine.do(work, mkfs(intended, device.path), why, 'long', device);
}

function intendedOf(content: VolumeContent): Omit<Format, 'passphrase'> {
  const fsType =
    'fsType' in content
      ? Object.values(FormatType).find((one) => one === content.fsType)
      : undefined;
  if (fsType !== undefined && 'uuid' in content) return { fsType, uuid: content.uuid };
  throw new Refusal('INTERNAL', `No format is intended on record (${content.state}).`);
}

/** A device that takes writes and does not keep them is not formatted over and over. */
const notReadBack = ({ volume, device }: LayerDevice): Refusal =>
  new Refusal(
    'UNAVAILABLE',
    `Volume '${volume.name}' was formatted, and ${device.path} does not read so: ask again.`,
  );
