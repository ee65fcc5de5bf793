import {
  type DiskView,
  type ImageRecord,
  type NodeRecord,
  type VolumeRecord,
  lariatError,
} from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { IMAGINED_ROOT, ODD_DISK, ODD_REPLICA } from './imagined-agents.js';

/** One that has been down all along. */
export const DEAD_NODE = 'n9';

const OFFERS = (['nvmf', 'nbd'] as const).map((frontend) => ({
  ...{ frontend, available: true, reason: null },
}));

export const imaginedNode = (name: string): NodeRecord => ({
  ...{
    name,
    state: 'ready',
    reason: 'heartbeats arrive',
    since: '',
    schedulable: true,
    duty: 'open',
  },
  ...{ zone: name, labels: {}, traddr: '127.0.0.1', trsvcid: '4420', target: 'imagined' },
  ...{ frontends: OFFERS, agentVersion: '0', agentInstance: name, disks: [] },
});

export const imaginedDisk = (node: string): Partial<DiskView> => ({
  ...{ id: `disk-of-${node}`, node, schedulable: true, availableBytes: 1024 * MIB },
});

export const IMAGINED_CONTENT = {
  ...{ sizeBytes: MIB, contentBytes: MIB, dataClusters: 1 },
  checksums: { file: null, content: null, rootSha256: IMAGINED_ROOT },
};

/** The only one that there is; it has no copy anywhere, but where a case says so. */
export const IMAGE = 'img-1';

/** The same on record, with ready copies on these nodes. */
export function imaginedImageOn(...nodes: readonly string[]): ImageRecord {
  return {
    ...{ id: IMAGE, name: 'i1', state: 'ready', format: 'raw', ...IMAGINED_CONTENT },
    ...{ source: { url: 'http://images/i1' }, minimumCopies: 1, operation: null },
    ...{ failure: null, createdAt: '', labels: {} },
    copies: nodes.map((node) => ({
      ...{ node, disk: `disk-of-${node}`, state: 'ready', lvolUuid: `lvol-${node}` },
      ...{ readyAt: '', checkedAt: '', wantedAt: null },
    })),
  };
}

export function imaginedImage(
  image: string,
): Pick<ImageRecord, 'id' | 'name' | 'state' | 'sizeBytes' | 'copies'> {
  if (image !== IMAGE) throw lariatError('IMAGE_NOT_FOUND', 'There is no such image.');
  return { id: image, name: 'i1', state: 'ready', sizeBytes: MIB, copies: [] };
}

/** The copy on n3 is not the image. */
export function withOddImageCopy(): ImageRecord {
  const image = imaginedImageOn('n1', 'n2', 'n3');
  const copies = image.copies.map((copy) =>
    copy.node === 'n3' ? { ...copy, disk: ODD_DISK } : copy,
  );
  return { ...image, copies };
}

const replica = (node: string, mode: 'RW' | 'ERR' = 'RW'): VolumeRecord['replicas'][number] => ({
  ...{ id: `rep-${node}`, node, disk: `disk-of-${node}`, mode, lvolUuid: `lvol-${node}` },
  ...{ state: mode === 'RW' ? 'ready' : 'faulted', reason: null, faultedAtMs: null },
});

/** A volume with replicas on n1 to n3 and one snapshot. */
export function imaginedVolume(given: Partial<VolumeRecord> = {}): VolumeRecord {
  const snapshot = { id: 'snp-1', name: 's1', sizeBytes: MIB, createdAt: '', parent: null };
  return {
    ...{ id: 'vol-1', name: 'v1', sizeBytes: MIB, replicaCount: 3, state: 'detached' },
    ...{ content: { state: 'blank' }, labels: {}, createdAt: '', uuid: 'u', epoch: 1 },
    ...{ clean: true, attachment: null, operation: null, headParent: snapshot.id },
    replicas: [replica('n1'), replica('n2'), replica('n3')],
    snapshots: [{ ...snapshot, user: true }],
    ...given,
  };
}

/** The same, attached on n1. */
export function imaginedAttached(given: Partial<VolumeRecord> = {}): VolumeRecord {
  const volume = imaginedVolume({ state: 'attached', clean: false, ...given });
  const inSync = volume.replicas.filter(({ mode }) => mode === 'RW').map(({ id }) => id);
  const engine = { nqn: 'e', traddr: '127.0.0.1', trsvcid: '1', uuid: 'u' };
  return {
    ...volume,
    attachment: {
      ...{ epoch: 1, node: 'n1', frontend: 'nbd', endpoint: 'nbd+unix:///?socket=/v1' },
      ...{ engine, seizedFrom: null, inSync },
    },
  };
}

/** The replica on n3 has another content than the others. */
export const withOddCopy: readonly VolumeRecord['replicas'][number][] = [
  replica('n1'),
  replica('n2'),
  { ...replica('n3'), id: ODD_REPLICA },
];

/** Attached on a node that is down, with a replica there. */
export const imaginedOnDeadNode = (): VolumeRecord => {
  const replicas = ['n1', 'n2', DEAD_NODE].map((name) => replica(name));
  const volume = imaginedAttached({ replicas });
  const { attachment } = volume;
  if (attachment === null) throw new Error('it is attached');
  return { ...volume, attachment: { ...attachment, node: DEAD_NODE } };
};

export const faultedOn = (node: string): readonly VolumeRecord['replicas'][number][] =>
  ['n1', 'n2', 'n3'].map((name) => replica(name, name === node ? 'ERR' : 'RW'));
