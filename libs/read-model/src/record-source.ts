import type { RecordBucket } from '@lariat/messaging';

/** What a list is a projection of: a bucket of records, and how far this process has read its stream. */
export type RecordSource<T> = Pick<
  RecordBucket<T>,
  'cachedEntries' | 'listen' | 'followInOrder' | 'position' | 'caughtUp' | 'end' | 'storedAt'
>;
