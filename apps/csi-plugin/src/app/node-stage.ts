import { FormatType, FsType } from '@lariat/contracts';
import { isReadOnlyMode, requireAccess } from '../domain/access.js';
import type { DeviceFacts } from '../domain/device.js';
import { grow, mountDevice, repair } from '../domain/file-system-commands.js';
import { mappingNameOf, mappingsOf } from '../domain/mapping.js';
import { passphraseOf, requirePassphrase } from '../domain/passphrase.js';
import { Refusal, requireText } from '../domain/refusal.js';
import type { HandlersOf, NodeCalls } from '../grpc/messages.js';
import type { Staging, StagingsPort } from '../ports/stagings.port.js';
import { type ReadyDevice, awaitDevice } from './await-device.js';
import { type LayerParts, innerLayer, outerLayer } from './layers.js';
import { closeMappings, openMapping } from './mappings.js';
import type { Work } from './node-machine.js';
import { type PreparedDevice, prepareContent } from './prepare-content.js';

export interface StageParts extends LayerParts {
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
      await closeMappings(parts.machine, work);
      const staging = await parts.stagings.get(work.volume);
      if (staging?.stagingPath === path) await parts.stagings.drop(work.volume);
      return {};
    },
  };
}

/** From now on anything may be on the device: it is never formatted any more. */
async function stageBlock(parts: StageParts, request: Request, work: Work): Promise<void> {
  const { cluster, stagings } = parts;
  const ready = await blockDevice(parts, request, work);
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
    ...(ready.mapping === undefined ? {} : { mapping: ready.mapping }),
    targets: before?.targets ?? [],
  });
}

interface UsedDevice extends ReadyDevice {
  readonly mapping: string | undefined;
}

async function blockDevice(parts: StageParts, request: Request, work: Work): Promise<UsedDevice> {
  const { cluster, machine, node } = parts;
  if (!isEncryptedBy(request)) {
    const ready = await awaitDevice({ cluster, host: machine.host, node }, work.volume, work.scope);
    return { ...ready, mapping: undefined };
  }
  const passphrase = requirePassphrase(request.secrets, work.volume);
  const asked = { wanted: FormatType.luks, passphrase };
  const outer = await prepareContent(parts, work, outerLayer(parts, work, asked));
  const uuid = uuidOfHeader(outer);
  const mapping = await noteMapping(parts, request, outer, 'block');
  const device = await openMapping(machine, work, outer, { uuid, passphrase });
  return { ...outer, device, mapping };
}

/** Before it is opened: what is open of a volume is found by who comes after. */
async function noteMapping(
  { stagings }: StageParts,
  { stagingTargetPath }: Request,
  { volume, epoch, device }: ReadyDevice,
  access: Staging['access'],
): Promise<string> {
  const mapping = mappingNameOf(volume.id, epoch, device);
  const before = await stagings.get(volume.id);
  if (before?.mapping === mapping) return mapping;
  await stagings.put({
    ...{ volume: volume.id, epoch, access, fsType: null, stagingPath: stagingTargetPath, mapping },
    // Nothing can be published yet.
    ...{ device: `/dev/mapper/${mapping}`, majorMinor: '', targets: before?.targets ?? [] },
  });
  return mapping;
}

const isEncryptedBy = ({ volumeContext }: Request): boolean =>
  volumeContext['encrypted'] === 'true';

/** Without a header what is written could be read by anybody: that is not what was asked for. */
function uuidOfHeader({ volume, fsType, uuid }: PreparedDevice): string {
  if (fsType === FormatType.luks && uuid !== null) return uuid;
  throw new Refusal(
    'FAILED_PRECONDITION',
    `Volume '${volume.name}' is to be encrypted, and holds ${fsType ?? 'data'} that are not: use it by a class without encryption.`,
  );
}

/** The volume's device with a file system to mount, under its header where it is encrypted. */
async function fileSystemDevice(
  parts: StageParts,
  request: Request,
  work: Work,
): Promise<PreparedDevice & { readonly mapping: string | undefined }> {
  const { volumeCapability: access, volumeContext, secrets } = request;
  const fsType = fsTypeOf(access?.mount?.fsType || volumeContext['fsType']);
  const isEncrypted = isEncryptedBy(request);
  const passphrase = isEncrypted
    ? requirePassphrase(secrets, work.volume)
    : (passphraseOf(secrets) ?? '');
  const wanted = isEncrypted ? FormatType.luks : fsType;
  const outer = await prepareContent(parts, work, outerLayer(parts, work, { wanted, passphrase }));
  if (!isEncrypted && outer.fsType !== FormatType.luks) return { ...outer, mapping: undefined };
  const uuid = uuidOfHeader(outer);
  requirePassphrase(secrets, work.volume);
  const mapping = await noteMapping(parts, request, outer, 'mount');
  const layer = innerLayer(parts, work, { wanted: fsType, passphrase, uuid });
  return { ...(await prepareContent(parts, work, layer)), mapping };
}

async function stageMount(parts: StageParts, request: Request, work: Work): Promise<void> {
  const { machine, stagings } = parts;
  const { stagingTargetPath: path, volumeCapability: access } = request;
  const before = await stagings.get(work.volume);
  if (before !== undefined && (await isStaged(parts, before, path, work))) return;
  const prepared = await fileSystemDevice(parts, request, work);
  const { device, fsType, mapping } = prepared;
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
    ...(mapping === undefined ? {} : { mapping }),
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
  { stagingPath, majorMinor, epoch, access, mapping }: Staging,
  path: string,
  work: Work,
): Promise<boolean> {
  if (stagingPath !== path || access !== 'mount') return false;
  const mount = await machine.mountAt(path);
  if (mount?.majorMinor !== majorMinor) return false;
  const ready = await awaitDevice({ cluster, host: machine.host, node }, work.volume, work.scope);
  const used = mapping === undefined ? ready.device : await openOn(machine, ready, mapping);
  if (ready.epoch !== epoch || used?.majorMinor !== majorMinor) return false;
  if (!(await machine.isAlive(work, path))) return false;
  const growing = mount.options.includes('ro') ? undefined : grow(mount.fsType, used.path, path);
  if (growing !== undefined)
    await machine.do(work, growing, 'let the file system fill its device', 'long');
  return true;
}

/** What is open under that name, as long as it stands on the attachment's own device. */
async function openOn(
  { host }: LayerParts['machine'],
  { volume, device: below }: ReadyDevice,
  name: string,
): Promise<DeviceFacts | undefined> {
  const open = mappingsOf(await host.mappings(), volume.id).find(
    (mapping) => mapping.name === name && mapping.standsOn.includes(below.majorMinor),
  );
  return open?.device;
}

const fsTypeOf = (text: string | undefined): FsType =>
  Object.values(FsType).find((fsType) => fsType === text) ?? FsType.ext4;
