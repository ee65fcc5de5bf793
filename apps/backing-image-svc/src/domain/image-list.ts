import { IMAGE_ORDERS, type ImageRecord, toImageView } from '@lariat/contracts';
import { type ListForm, facet, sortNumber, sortText } from '@lariat/read-model';

export const IMAGE_LIST: ListForm<ImageRecord> = {
  name: 'images',
  version: 1,
  orders: IMAGE_ORDERS,
  rows: (id, record) => [
    {
      id,
      sortTexts: {
        name: sortText(record.name),
        created: sortText(record.createdAt),
        size: sortNumber(record.sizeBytes),
      },
      facets: [facet('state', record.state)],
      document: () => toImageView(record),
    },
  ],
};
