import type { ListOperationsRequest } from '@lariat/contracts';
import { type ListForm, facet, sortNumber } from '@lariat/read-model';
import { type SagaRecord, toOperationView } from '@lariat/saga';

export const OPERATION_LIST: ListForm<SagaRecord> = {
  name: 'operations',
  version: 1,
  orders: ['started'],
  rows: (id, record) => [
    {
      id,
      sortTexts: { started: sortNumber(record.startedAtMs) },
      facets: [
        facet('subject', record.subject),
        facet('state', record.state),
        facet('kind', record.kind),
      ],
      document: () => toOperationView(record),
    },
  ],
};

export const operationFacets = ({
  volume,
  state,
  kind,
}: ListOperationsRequest): readonly string[] => [
  ...(volume === undefined ? [] : [facet('subject', `volume/${volume}`)]),
  ...(state === undefined ? [] : [facet('state', state)]),
  ...(kind === undefined ? [] : [facet('kind', kind)]),
];
