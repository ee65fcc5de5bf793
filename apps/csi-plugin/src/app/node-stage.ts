import { FsType } from '@lariat/contracts';
import { isReadOnlyMode, requireAccess } from '../domain/access.js';
import { grow, mountDevice, repair } from '../domain/file-system-commands.js';
import { Refusal, requireText } from '../domain/refusal.js';
import type { HandlersOf, NodeCalls } from '../grpc/messages.js';
import type { Staging, StagingsPort } from '../ports/stagings.port.js';
import { awaitDevice } from './await-device.js';
import type { Work } from './node-machine.js';
import { type ContentParts, prepareContent } from './prepare-content.js';

export interface StageParts extends ContentParts {
  readonly stagings: StagingsPort;
}

type Request = NodeCalls['NodeStageVolume']['request'];

export function stageCalls(
  parts: StageParts,
): HandlersOf<Pick<NodeCalls, 'NodeStageVolume' | 'NodeUnstageVolume'>> {
  return {
    NodeStageVolume: async (request, scope) => {
      const { volumeId, stagingTargetPath, volumeCapability } = request;
      const work = { volume: requireText(volumeId, 'volume_id'), scope };
      requireText(stagingTargetPath, 'staging_target_path');
      const access = requireAccess(volumeCapability);
      if (access.block == null) await stageMount(parts, request, work);
      else await stageBlock(parts, request, work);
      return {};
    },

    NodeUnstageVolume: async ({ volumeId, stagingTargetPath }, scope) => {
      const work = { volume: requireText(volumeId, 'volume_id'), scope };
      const path = requireText(stagingTargetPath, 'staging_target_path');
      await parts.machine.unmountAll(work, path);
      const staging = await parts.stagings.get(work.volume);
      if (staging?.stagingPath === path) await parts.stagings.drop(work.volume);
      return {};
    },
  };
}

/** From now on anything may be on the device: it is never formatted any more. */
async function stageBlock(parts: StageParts, request: Request, work: Work): Promise<void> {
  const { cluster, machine, node, stagings } = parts;
  const ready = await awaitDevice({ cluster, host: machine.host, node }, work.volume, work.scope);
  const { id: volume } = ready.volume;
  await cluster.request(
    'internal.volume.set-content',
    { volume, epoch: ready.epoch, event: 'disown' },
    work.scope,
  );
  const before = await stagings.get(volume);
  await stagings.put({
    ...{ volume, epoch: ready.epoch, access: 'block', fsType: null },
    ...{ stagingPath: request.stagingTargetPath, device: ready.device.path },
    majorMinor: ready.device.majorMinor,
    targets: before?.targets ?? [],
  });
}

async function stageMount(parts: StageParts, request: Request, work: Work): Promise<void> {
  const { machine, stagings } = parts;
  const { stagingTargetPath: path, volumeCapability: access, volumeContext } = request;
  const before = await stagings.get(work.volume);
  if (before !== undefined && (await isStaged(parts, before, path, work))) return;
  const wanted = fsTypeOf(access?.mount?.fsType || volumeContext['fsType']);
  const prepared = await prepareContent(parts, work, wanted);
  const { device, fsType } = prepared;
  const asked = access?.mount?.fsType ?? '';
  if (asked !== '' && fsType !== null && asked !== fsType) {
    throw new Refusal(
      'FAILED_PRECONDITION',
      `Volume '${prepared.volume.name}' holds ${fsType}, not ${asked}: ask for what it holds.`,
    );
  }
  const isReadOnly = access !== null && isReadOnlyMode(access);
  // What is mounted there is not what was looked at just now: of an attachment that has ended, or dead.
  await machine.unmountAll(work, path);
  const program = repair(fsType, device.path);
  if (program !== undefined && !isReadOnly) {
    const why = 'put the file system right';
    const { code, stderr } = await machine.run(work, program, why, 'long', device);
    if (!program.isFine(code)) {
      throw new Refusal(
        'FAILED_PRECONDITION',
        `The file system of volume '${prepared.volume.name}' can't be put right by itself (e2fsck -p: ${code}, ${stderr.trim().slice(-300)}): look at it by hand.`,
      );
    }
  }
  const staging: Staging = {
    ...{ volume: prepared.volume.id, epoch: prepared.epoch, access: 'mount', fsType },
    ...{ stagingPath: path, device: device.path, majorMinor: device.majorMinor, targets: [] },
  };
  // Before the mount: one that a plugin which died has made is found by it.
  await stagings.put(staging);
  await machine.host.makeFolder(path);
  const options = [...(access?.mount?.mountFlags ?? []), ...(isReadOnly ? ['ro'] : [])];
  const mount = mountDevice(device.path, path, fsType, options);
  await machine.do(work, mount, 'mount it where it is staged', 'long', device);
  const made = await machine.mountAt(path);
  if (made?.majorMinor !== device.majorMinor)
    throw new Refusal('UNAVAILABLE', `${path} is not mounted from ${device.path}: ask again.`);
  // A clone or an expanded volume is larger than its file system.
  const growing = isReadOnly ? undefined : grow(made.fsType, device.path, path);
  if (growing !== undefined)
    await machine.do(work, growing, 'let the file system fill its device', 'long');
}

/** Whether an earlier run has done it all, and what it mounted is this attachment's and alive. */
async function isStaged(
  { cluster, machine, node }: StageParts,
  { stagingPath, majorMinor, epoch, access }: Staging,
  path: string,
  work: Work,
): Promise<boolean> {
  if (stagingPath !== path || access !== 'mount') return false;
  const mount = await machine.mountAt(path);
  if (mount?.majorMinor !== majorMinor) return false;
  const ready = await awaitDevice({ cluster, host: machine.host, node }, work.volume, work.scope);
  if (ready.epoch !== epoch || ready.device.majorMinor !== majorMinor) return false;
  if (!(await machine.isAlive(work, path))) return false;
  const growing = mount.options.includes('ro')
    ? undefined
    : grow(mount.fsType, ready.device.path, path);
  if (growing !== undefined)
    await machine.do(work, growing, 'let the file system fill its device', 'long');
  return true;
}

const fsTypeOf = (text: string | undefined): FsType =>
  Object.values(FsType).find((fsType) => fsType === text) ?? FsType.ext4;
