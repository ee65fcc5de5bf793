import type { ListOrphansRequest, NodeRecord, OrphanRecord } from '@lariat/contracts';
import { type ListForm, facet, sortText } from '@lariat/read-model';

/** Records, not views: what is promised on a node's disks is on record elsewhere. */
export const NODE_LIST: ListForm<NodeRecord> = {
  name: 'nodes',
  version: 1,
  orders: ['name'],
  rows: (name, record) => [
    {
      id: name,
      sortTexts: { name: sortText(name) },
      facets: [facet('state', record.state)],
      document: () => record,
    },
  ],
};

/** Records: when one is deleted depends on how the service is set. */
export const ORPHAN_LIST: ListForm<OrphanRecord> = {
  name: 'orphans',
  version: 1,
  orders: ['node'],
  rows: (id, record) => [
    {
      id,
      sortTexts: { node: sortText(`${record.node} ${record.name}`) },
      facets: [facet('node', record.node)],
      document: () => record,
    },
  ],
};

export const orphanFacets = ({ node }: ListOrphansRequest): readonly string[] =>
  node === undefined ? [] : [facet('node', node)];
