import type { Msg } from '@nats-io/nats-core';
import { decodeJson } from './json.js';

/**
 * What a node tells on a subject that ends in its name. NATS lets an agent tell on its own node's subject alone; undefined
 * when it tells there of another one, or nothing that can be read.
 */
export function toldByNode<T extends { readonly node: string }>(
  message: Pick<Msg, 'subject' | 'data'>,
): T | undefined {
  try {
    const told = decodeJson(message.data) as Partial<T> | null;
    return told?.node !== undefined && message.subject.endsWith(`.${told.node}`)
      ? (told as T)
      : undefined;
  } catch {
    // Not JSON: whoever it was has told nothing.
    return undefined;
  }
}
