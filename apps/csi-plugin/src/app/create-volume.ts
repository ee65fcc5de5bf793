import { type VolumeView, hasCode, lariatError } from '@lariat/contracts';
import { assertAccess } from '../domain/access.js';
import { lariatNameOf, partsOfSnapshotId } from '../domain/csi-name.js';
import {
  type ClassParameters,
  type MutableParameters,
  classParametersOf,
  mutableParametersOf,
} from '../domain/parameters.js';
import { Refusal, requireText } from '../domain/refusal.js';
import { type SizeRange, isInRange, parseRange, sizeIn } from '../domain/size-range.js';
import {
  type AskedVolume,
  LABEL,
  type Source,
  differenceOf,
  labelsOf,
  volumeAnswer,
} from '../domain/volume-answer.js';
import type { CallScope, ControllerCalls, VolumeContentSource } from '../grpc/messages.js';
import type { ClusterPort } from '../ports/cluster.port.js';
import { findVolume, requireVolume } from './find-volume.js';

type Request = ControllerCalls['CreateVolume']['request'];
type Answer = ControllerCalls['CreateVolume']['answer'];

interface Wanted {
  readonly lariatName: string;
  readonly range: SizeRange;
  readonly fixed: ClassParameters;
  readonly mutable: MutableParameters;
  readonly asked: AskedVolume;
}

/** The volume of that name, made or adopted; another one of that name is told apart by what it was asked for with. */
export async function createVolume(
  cluster: ClusterPort,
  request: Request,
  scope: CallScope,
): Promise<Answer> {
  const wanted = readRequest(request);
  for (;;) {
    const there = await findVolume(cluster, wanted.lariatName, scope);
    if (there !== undefined) {
      const settled = await settle(cluster, there, scope);
      // An earlier run of the same request was undone: it is made now.
      if (settled === undefined) continue;
      assertSame(settled, wanted);
      // The call that made it may have died before it came to this.
      if (settled.rebuild === undefined) await limitRebuild(cluster, settled, wanted, scope);
      return { volume: volumeAnswer(settled) };
    }
    try {
      return { volume: volumeAnswer(await make(cluster, wanted, scope)) };
    } catch (error) {
      if (!hasCode(error, 'VOLUME_NAME_TAKEN')) throw error;
      // Another call made it meanwhile, or its name is not free yet.
      if (scope.leftMs() <= 0) throw error;
    }
  }
}

function readRequest(request: Request): Wanted {
  const name = requireText(request.name, 'name');
  assertAccess(request.volumeCapabilities);
  const fixed = classParametersOf(request.parameters);
  const fsTypes = new Set(
    request.volumeCapabilities.flatMap(({ mount }) =>
      mount == null || mount.fsType === '' ? [] : [mount.fsType],
    ),
  );
  const [fsType = fixed.fsType] = fsTypes;
  const source = sourceOf(request.volumeContentSource);
  if (fixed.encrypted && fixed.image !== undefined) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'An image is not encrypted: a class with image takes no encryption.',
    );
  }
  if (source !== undefined && fixed.image !== undefined) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'A volume is made from a source or from an image: a class with image takes no source.',
    );
  }
  return {
    lariatName: lariatNameOf(name),
    range: parseRange(request.capacityRange),
    fixed,
    mutable: mutableParametersOf(request.mutableParameters),
    asked: {
      ...{ name, source, fsType, frontend: fixed.frontend, image: fixed.image },
      encrypted: fixed.encrypted,
    },
  };
}

function sourceOf(source: VolumeContentSource | null): Source | undefined {
  if (source === null) return undefined;
  if (source.snapshot != null)
    return {
      kind: 'snapshot',
      id: requireText(source.snapshot.snapshotId, 'volume_content_source.snapshot.snapshot_id'),
    };
  if (source.volume != null)
    return {
      kind: 'volume',
      id: requireText(source.volume.volumeId, 'volume_content_source.volume.volume_id'),
    };
  throw new Refusal('INVALID_ARGUMENT', 'volume_content_source names neither snapshot nor volume.');
}

/** The volume as it is once nobody makes it any more; undefined when it is gone again. */
async function settle(
  cluster: ClusterPort,
  there: VolumeView,
  scope: CallScope,
): Promise<VolumeView | undefined> {
  if (there.state === 'deleting') {
    throw lariatError(
      'VOLUME_BUSY',
      `Volume '${there.name}' of that name is being deleted: ask again when it is gone.`,
    );
  }
  if (there.state !== 'creating') return there;
  if (scope.leftMs() <= 0 || there.operation === null) {
    throw lariatError('VOLUME_BUSY', `Volume '${there.name}' is being made: ask again.`);
  }
  await cluster.request('operation.wait', { operation: there.operation }, scope);
  const settled = await findVolume(cluster, there.id, scope);
  return settled?.state === 'creating' ? settle(cluster, settled, scope) : settled;
}

function assertSame(volume: VolumeView, { range, asked }: Wanted): void {
  const difference = isInRange(volume.sizeBytes, range)
    ? differenceOf(volume, asked)
    : `it has ${volume.sizeBytes} bytes`;
  if (difference === undefined) return;
  throw new Refusal(
    'ALREADY_EXISTS',
    `There is another volume '${asked.name}' (${volume.id}): ${difference}.`,
  );
}

async function make(cluster: ClusterPort, wanted: Wanted, scope: CallScope): Promise<VolumeView> {
  const { lariatName: name, range, fixed, mutable, asked } = wanted;
  const origin = await originOf(cluster, asked, scope);
  const replicas = mutable.replicas ?? fixed.replicas;
  const made = await cluster.request(
    'volume.create',
    {
      name,
      sizeBytes: sizeIn(range, origin.leastBytes),
      labels: { ...labelsOf(asked) },
      ...(origin.source === undefined ? {} : { source: origin.source }),
      ...(asked.image === undefined ? {} : { image: asked.image }),
      ...(replicas === undefined ? {} : { replicas }),
      ...(Object.keys(mutable.qos).length === 0 ? {} : { qos: mutable.qos }),
    },
    scope,
  );
  await limitRebuild(cluster, made, wanted, scope);
  return made;
}

async function limitRebuild(
  cluster: ClusterPort,
  { id: volume }: VolumeView,
  { mutable: { rebuildMibPerSecond: mibPerSecond } }: Wanted,
  scope: CallScope,
): Promise<void> {
  if (mibPerSecond !== undefined)
    await cluster.request('rebuild.update', { volume, mibPerSecond }, scope);
}

/** The header, and room for a file system. */
const LEAST_ENCRYPTED_BYTES = 32n * 1024n * 1024n;

/** A clone is what its source is: none is encrypted, or laid open, on the way. */
function assertAlike({ name, labels }: VolumeView, { encrypted }: AskedVolume): void {
  if ((labels[LABEL.encrypted] === 'true') === encrypted) return;
  throw new Refusal(
    'INVALID_ARGUMENT',
    `Volume '${name}' is ${encrypted ? 'not ' : ''}encrypted, and what is made of it is the same: use a class that says so.`,
  );
}

interface Origin {
  readonly source?: { readonly volume: string; readonly snapshot?: string };
  readonly leastBytes: bigint;
}

async function originOf(
  cluster: ClusterPort,
  asked: AskedVolume,
  scope: CallScope,
): Promise<Origin> {
  const { source, image, encrypted } = asked;
  if (image !== undefined) {
    const { sizeBytes } = await cluster.request('image.get', { image }, scope);
    return { leastBytes: BigInt(sizeBytes) };
  }
  if (source === undefined) return { leastBytes: encrypted ? LEAST_ENCRYPTED_BYTES : 0n };
  if (source.kind === 'volume') {
    const volume = await requireVolume(cluster, source.id, scope);
    assertAlike(volume, asked);
    const { id, sizeBytes } = volume;
    return { source: { volume: id }, leastBytes: BigInt(sizeBytes) };
  }
  const parts = partsOfSnapshotId(source.id);
  if (parts === undefined)
    throw new Refusal('NOT_FOUND', `There is no snapshot '${source.id}' to make a volume of.`);
  assertAlike(await requireVolume(cluster, parts.volume, scope), asked);
  const { sizeBytes } = await cluster.request('snapshot.get', parts, scope);
  return { source: parts, leastBytes: BigInt(sizeBytes) };
}
