import type { SnapshotView, VolumeView } from '@lariat/contracts';
import { snapshotIdOf } from './csi-name.js';

type Texts = Readonly<Record<string, string>>;

/** Labels by which a volume keeps what it was asked for with: the plugin itself keeps nothing. */
export const LABEL = Object.freeze({
  name: 'csi-name',
  source: 'csi-source',
  fsType: 'csi-fs-type',
  frontend: 'csi-frontend',
  image: 'csi-image',
  encrypted: 'csi-encrypted',
} as const);

export interface Source {
  readonly kind: 'volume' | 'snapshot';
  readonly id: string;
}

const sourceText = ({ kind, id }: Source): string => `${kind}:${id}`;

function parseSource(text: string | undefined): Source | undefined {
  const [kind, id = ''] = (text ?? '').split(':');
  return kind === 'volume' || kind === 'snapshot' ? { kind, id } : undefined;
}

export interface AskedVolume {
  readonly name: string;
  readonly source: Source | undefined;
  readonly fsType: string | undefined;
  readonly frontend: string | undefined;
  readonly image: string | undefined;
  readonly encrypted: boolean;
}

export function labelsOf(asked: AskedVolume): Texts {
  const { name, source, fsType, frontend, image, encrypted } = asked;
  return {
    [LABEL.name]: name,
    ...(source === undefined ? {} : { [LABEL.source]: sourceText(source) }),
    ...(fsType === undefined ? {} : { [LABEL.fsType]: fsType }),
    ...(frontend === undefined ? {} : { [LABEL.frontend]: frontend }),
    ...(image === undefined ? {} : { [LABEL.image]: image }),
    ...(encrypted ? { [LABEL.encrypted]: 'true' } : {}),
  };
}

/** In what a volume differs from the one that is asked for now, for a person; undefined: in nothing. */
export function differenceOf(volume: VolumeView, asked: AskedVolume): string | undefined {
  const wanted = labelsOf(asked);
  const key = Object.values(LABEL).find((label) => volume.labels[label] !== wanted[label]);
  if (key === undefined) return undefined;
  const shown = (text: string | undefined): string => (text === undefined ? 'none' : `'${text}'`);
  return `its ${key.replace('csi-', '')} is ${shown(volume.labels[key])}, not ${shown(wanted[key])}`;
}

export interface VolumeAnswer {
  readonly capacityBytes: string;
  readonly volumeId: string;
  readonly volumeContext: Texts;
  readonly contentSource?:
    | { readonly volume: { readonly volumeId: string } }
    | { readonly snapshot: { readonly snapshotId: string } };
}

/** The same answer for as long as the volume lives, but for its size. */
export function volumeAnswer({ id, sizeBytes, labels }: VolumeView): VolumeAnswer {
  const source = parseSource(labels[LABEL.source]);
  const fsType = labels[LABEL.fsType];
  const frontend = labels[LABEL.frontend];
  const encrypted = labels[LABEL.encrypted];
  return {
    capacityBytes: String(sizeBytes),
    volumeId: id,
    volumeContext: {
      ...(fsType === undefined ? {} : { fsType }),
      ...(frontend === undefined ? {} : { frontend }),
      ...(encrypted === undefined ? {} : { encrypted }),
    },
    ...(source === undefined ? {} : { contentSource: contentSourceOf(source) }),
  };
}

const contentSourceOf = ({ kind, id }: Source): NonNullable<VolumeAnswer['contentSource']> =>
  kind === 'volume' ? { volume: { volumeId: id } } : { snapshot: { snapshotId: id } };

export interface StatusAnswer {
  readonly publishedNodeIds: readonly string[];
  readonly volumeCondition: { readonly abnormal: boolean; readonly message: string };
}

export function statusAnswer(volume: VolumeView): StatusAnswer {
  const { attachment } = volume;
  return {
    publishedNodeIds: attachment === null ? [] : [attachment.node],
    volumeCondition: conditionOf(volume),
  };
}

export function conditionOf(volume: VolumeView): StatusAnswer['volumeCondition'] {
  const { robustness, replicas, replicaCount, inDoubt } = volume;
  const inSync = replicas.filter(({ mode }) => mode === 'RW').length;
  const abnormal = robustness === 'degraded' || robustness === 'faulted';
  const count = `${inSync} of ${replicaCount} replicas hold all acknowledged writes`;
  const why = replicas.flatMap(({ node, reason }) =>
    reason === null ? [] : [`${node}: ${reason}`],
  );
  const doubt = inDoubt === undefined ? [] : [`in doubt: ${inDoubt.join('; ')}`];
  return { abnormal, message: [`${robustness}: ${count}`, ...doubt, ...why].join('; ') };
}

export function snapshotAnswer({ id, volume, sizeBytes, createdAt, group }: SnapshotView): {
  readonly sizeBytes: string;
  readonly snapshotId: string;
  readonly sourceVolumeId: string;
  readonly creationTime: { readonly seconds: string; readonly nanos: number };
  readonly readyToUse: boolean;
  readonly groupSnapshotId?: string;
} {
  const ms = Date.parse(createdAt);
  const seconds = Math.floor(ms / 1000);
  return {
    sizeBytes: String(sizeBytes),
    snapshotId: snapshotIdOf(volume, id),
    sourceVolumeId: volume,
    creationTime: { seconds: String(seconds), nanos: (ms - seconds * 1000) * 1_000_000 },
    readyToUse: true,
    ...(group === undefined ? {} : { groupSnapshotId: group }),
  };
}
