import type { Json } from '@lariat/kernel';

/** `lariat.v1.event.<kind>.<id>.<past-tense>`, in the stream LARIAT_EVENTS: at least once, in order per object. */
export interface LariatEvent {
  /** `<kind>.<id>.<number>`: the same event delivered twice has the same id. */
  readonly id: string;
  readonly kind: 'volume' | 'node' | 'operation' | 'disk' | 'image' | 'orphan';
  readonly objectId: string;
  /** Past tense, e.g. `created`, `replica-faulted`. */
  readonly type: string;
  /** Numbers the changes of one object from 1, without gaps. */
  readonly sequence: number;
  readonly at: string;
  readonly actor: string;
  readonly data: Json;
}
