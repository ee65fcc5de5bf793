import type { ListForm } from './list-form.js';
import type { ReadModelNumbers } from './read-model.port.js';
import { RecordList, type SharedReadModel } from './record-list.js';
import type { RecordSource } from './record-source.js';

/** Makes the model of one list that processes share. */
export type ShareList = <T>(source: RecordSource<T>, form: ListForm<T>) => SharedReadModel;

/** The lists that a service answers, and what is to be known of them. */
export class RecordLists {
  private readonly byName = new Map<string, { numbers(): ReadModelNumbers }>();
  private readonly open: SharedReadModel[] = [];

  /** Without a way to share them, each process serves them from its own memory. */
  constructor(private readonly share?: ShareList) {}

  of<T>(source: RecordSource<T>, form: ListForm<T>): RecordList<T> {
    const shared = this.share?.(source, form);
    if (shared !== undefined) this.open.push(shared);
    const list = new RecordList({ source, form, ...(shared === undefined ? {} : { shared }) });
    this.byName.set(form.name, list);
    return list;
  }

  numbers(): Readonly<Record<string, ReadModelNumbers>> {
    return Object.fromEntries([...this.byName].map(([name, list]) => [name, list.numbers()]));
  }

  async close(): Promise<void> {
    await Promise.all(this.open.map((shared) => shared.close()));
  }
}
