import type { ImageRecord } from '@lariat/contracts';
import type { ImageStore } from '../adapters/image-store.js';
import { applyImageChanges } from '../domain/apply-change.js';

export interface MemoryImages {
  readonly images: ImageStore;
  readonly records: Map<string, ImageRecord>;
  readonly names: Map<string, string>;
  /** What removed records went for, in order. */
  readonly removed: string[];
  /** States that nodes were told to keep, in order. */
  readonly told: string[];
}

/** Images on record, without a store. */
export function memoryImages(...given: readonly ImageRecord[]): MemoryImages {
  const records = new Map(given.map((record) => [record.id, record]));
  const names = new Map(given.map(({ id, name }) => [name, id]));
  const removed: string[] = [];
  const told: string[] = [];
  const images = {
    read: (id: string) => Promise.resolve(records.get(id)),
    create: (record: ImageRecord) => {
      records.set(record.id, records.get(record.id) ?? record);
      return Promise.resolve(records.get(record.id));
    },
    change: async (id: string, decide: Parameters<ImageStore['change']>[1]) => {
      await Promise.resolve();
      const before = records.get(id);
      if (before === undefined) throw new Error(`there is no image ${id}`);
      const changes = typeof decide === 'function' ? decide(before) : decide;
      const { record } = applyImageChanges(before, changes);
      records.set(id, record);
      return record;
    },
    tell: ({ state }: ImageRecord) => {
      told.push(state);
      return Promise.resolve();
    },
    remove: (id: string, type: string) => {
      if (records.delete(id)) removed.push(type);
      return Promise.resolve();
    },
    names: {
      reserve: (name: string, image: string) => {
        names.set(name, names.get(name) ?? image);
        return Promise.resolve(names.get(name));
      },
      release: (name: string, image: string) => {
        if (names.get(name) === image) names.delete(name);
        return Promise.resolve();
      },
    },
  };
  return { images: images as unknown as ImageStore, records, names, removed, told };
}
