import {
  SNAPSHOT_ORDERS,
  type ListVolumesRequest,
  VOLUME_ORDERS,
  type VolumeRecord,
  robustnessOf,
  toVolumeView,
} from '@lariat/contracts';
import { type ListForm, facet, sortNumber, sortText } from '@lariat/read-model';

const label = (key: string, value: string): string => facet('label', `${key}=${value}`);

/** Where it has a replica, or is used. */
function nodesOf({ replicas, attachment }: VolumeRecord): ReadonlySet<string> {
  const nodes = new Set(replicas.map(({ node }) => node));
  if (attachment !== null) nodes.add(attachment.node);
  return nodes;
}

export const VOLUME_LIST: ListForm<VolumeRecord> = {
  name: 'volumes',
  version: 2,
  orders: VOLUME_ORDERS,
  rows: (id, record) => [
    {
      id,
      sortTexts: {
        name: sortText(record.name),
        created: sortText(record.createdAt),
        size: sortNumber(record.sizeBytes),
      },
      facets: [
        facet('state', record.state),
        facet('robustness', robustnessOf(record)),
        ...Array.from(nodesOf(record), (node) => facet('node', node)),
        ...(record.image == null ? [] : [facet('image', record.image)]),
        ...Object.entries(record.labels).map(([key, value]) => label(key, value)),
      ],
      document: () => toVolumeView(record),
    },
  ],
};

export const volumeFacets = (request: ListVolumesRequest): readonly string[] => [
  ...(['state', 'robustness', 'node', 'image'] as const).flatMap((name) => {
    const value = request[name];
    return value === undefined ? [] : [facet(name, value)];
  }),
  ...Object.entries(request.labels ?? {}).map(([key, value]) => label(key, value)),
];

const INDEX_DIGITS = 4;

export const SNAPSHOT_LIST: ListForm<VolumeRecord> = {
  name: 'snapshots',
  version: 1,
  orders: SNAPSHOT_ORDERS,
  rows: (volume, { snapshots }) =>
    snapshots.map((snapshot, index) => ({
      id: snapshot.id,
      sortTexts: {
        // Those of one volume in the order of its chain, also when one moment made several.
        created: sortText(`${snapshot.createdAt} ${String(index).padStart(INDEX_DIGITS, '0')}`),
        name: sortText(snapshot.name),
      },
      facets: [facet('volume', volume)],
      document: () => ({ ...snapshot, volume }),
    })),
};
