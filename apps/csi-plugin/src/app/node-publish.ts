import { whyNotDevice } from '../domain/device.js';
import { isReadOnlyMode, requireAccess } from '../domain/access.js';
import { bindMount, remountReadOnly } from '../domain/file-system-commands.js';
import { Refusal, requireText } from '../domain/refusal.js';
import type { HandlersOf, NodeCalls } from '../grpc/messages.js';
import type { Staging } from '../ports/stagings.port.js';
import type { NodeMachine, Work } from './node-machine.js';
import type { StageParts } from './node-stage.js';

export function publishOnNodeCalls({
  machine,
  stagings,
}: Pick<StageParts, 'machine' | 'stagings'>): HandlersOf<
  Pick<NodeCalls, 'NodePublishVolume' | 'NodeUnpublishVolume'>
> {
  return {
    NodePublishVolume: async (request, scope) => {
      const { targetPath: path, stagingTargetPath, volumeCapability } = request;
      const work = { volume: requireText(request.volumeId, 'volume_id'), scope };
      requireText(path, 'target_path');
      const access = requireAccess(volumeCapability);
      requireText(stagingTargetPath, 'staging_target_path');
      const staging = await stagings.get(work.volume);
      if (staging === undefined || staging.stagingPath !== stagingTargetPath) {
        throw new Refusal(
          'FAILED_PRECONDITION',
          `Volume ${work.volume} is not staged at ${stagingTargetPath}: stage it first.`,
        );
      }
      const readOnly = request.readonly || isReadOnlyMode(access);
      const noted = note(staging, path, readOnly, access.accessMode?.mode);
      // Before the mount: what takes the volume away must know of all that uses it.
      if (noted !== staging) await stagings.put(noted);
      if (staging.access === 'block') await publishBlock(machine, staging, path, work);
      else await publishMount(machine, staging, path, work);
      if (readOnly && (await machine.mountAt(path))?.options.includes('ro') !== true)
        await machine.do(work, remountReadOnly(path), 'let it be read only');
      const group = access.mount?.volumeMountGroup ?? '';
      if (group !== '' && !readOnly) await giveTo(machine, group, path, work);
      return {};
    },

    NodeUnpublishVolume: async ({ volumeId, targetPath }, scope) => {
      const work = { volume: requireText(volumeId, 'volume_id'), scope };
      const path = requireText(targetPath, 'target_path');
      await machine.unmountAll(work, path);
      await machine.host.remove(path);
      const staging = await stagings.get(work.volume);
      const targets = staging?.targets.filter((target) => target.path !== path) ?? [];
      if (staging !== undefined && targets.length < staging.targets.length)
        await stagings.put({ ...staging, targets });
      return {};
    },
  };
}

function note(
  staging: Staging,
  path: string,
  readOnly: boolean,
  mode: string | undefined,
): Staging {
  const there = staging.targets.find((target) => target.path === path);
  if (there !== undefined) {
    if (there.readOnly === readOnly) return staging;
    throw new Refusal(
      'ALREADY_EXISTS',
      `Volume ${staging.volume} is published at ${path} already, ${there.readOnly ? 'read-only' : 'for writing'}: unpublish it there first.`,
    );
  }
  if (mode === 'SINGLE_NODE_SINGLE_WRITER' && staging.targets.length > 0) {
    throw new Refusal(
      'FAILED_PRECONDITION',
      `Volume ${staging.volume} is published for a single writer, at ${staging.targets[0]?.path}.`,
    );
  }
  return { ...staging, targets: [...staging.targets, { path, readOnly }] };
}

async function publishMount(
  machine: NodeMachine,
  { stagingPath, majorMinor }: Staging,
  path: string,
  work: Work,
): Promise<void> {
  const staged = await machine.mountAt(stagingPath);
  if (staged?.majorMinor !== majorMinor || !(await machine.isAlive(work, stagingPath))) {
    throw new Refusal(
      'FAILED_PRECONDITION',
      `What was staged at ${stagingPath} is not mounted, or dead: stage the volume again.`,
    );
  }
  const there = await machine.mountAt(path);
  if (there?.majorMinor === majorMinor && (await machine.isAlive(work, path))) return;
  await machine.unmountAll(work, path);
  await machine.host.makeFolder(path);
  await machine.do(work, bindMount(stagingPath, path), 'show it where it is published');
}

async function publishBlock(
  machine: NodeMachine,
  staging: Staging,
  path: string,
  work: Work,
): Promise<void> {
  const { device } = staging;
  await requireDevice(machine, staging);
  // The device's file is what is bound: its place in /dev tells which.
  const there = await machine.mountAt(path);
  if (there !== undefined && device.endsWith(there.root)) return;
  await machine.unmountAll(work, path);
  await machine.host.makeFile(path);
  await machine.do(work, bindMount(device, path), 'show the device where it is published');
  try {
    await requireDevice(machine, staging);
  } catch (error) {
    // What is shown is another volume's.
    await machine.unmountAll(work, path);
    throw error;
  }
}

/** A device whose number the kernel has given to another volume since is not shown as this one's. */
async function requireDevice(machine: NodeMachine, { device, volume, epoch }: Staging) {
  const now = await machine.host.describe(device);
  const why = now === undefined ? `there is no ${device}` : whyNotDevice(now, { volume, epoch });
  if (why !== undefined)
    throw new Refusal('UNAVAILABLE', `Volume ${volume} is not here: ${why}. Stage it again.`);
}

/** All of a volume is its group's; the topmost folder last, which says that the rest was done. */
async function giveTo(
  machine: NodeMachine,
  group: string,
  path: string,
  work: Work,
): Promise<void> {
  if (!/^\d{1,10}$/.test(group))
    throw new Refusal(
      'INVALID_ARGUMENT',
      `volume_mount_group '${group}' must be a group's number.`,
    );
  const why = 'give the volume to its group';
  const shown = await machine.run(work, { program: 'stat', args: ['-c', '%g', path] }, why);
  if (Buffer.from(shown.stdout).toString().trim() === group) return;
  const below = [path, '-xdev', '-mindepth', '1'];
  const steps = [
    { program: 'find', args: [...below, '-exec', 'chgrp', '-h', group, '{}', '+'] },
    { program: 'find', args: [...below, '!', '-type', 'l', '-exec', 'chmod', 'g+rwX', '{}', '+'] },
    { program: 'chmod', args: ['g+rwxs', path] },
    { program: 'chgrp', args: [group, path] },
    // A change of the group takes the mark away.
    { program: 'chmod', args: ['g+s', path] },
  ];
  for (const step of steps) await machine.do(work, step, why, 'long');
}
