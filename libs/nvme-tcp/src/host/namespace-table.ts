import type { NamespaceIdentity } from './identify-namespaces.js';
import { HostNamespace, type NamespaceController } from './namespace.js';

/** Namespace ids by what happened to them. */
export interface NamespaceChanges {
  readonly added: readonly number[];
  readonly removed: readonly number[];
  readonly resized: readonly number[];
}

/** The namespaces of a controller; an object stays for as long as its namespace does. */
export class NamespaceTable {
  private readonly controller: NamespaceController;
  private readonly byNsid = new Map<number, HostNamespace>();

  constructor(controller: NamespaceController) {
    this.controller = controller;
  }

  list(): readonly HostNamespace[] {
    return [...this.byNsid.values()].toSorted((a, b) => a.nsid - b.nsid);
  }

  /** Takes over what the controller has now. A different namespace under a known id counts as removed and added. */
  update(identities: readonly NamespaceIdentity[]): NamespaceChanges {
    const added: number[] = [];
    const removed: number[] = [];
    const resized: number[] = [];
    const present = new Map(identities.map((identity) => [identity.nsid, identity]));
    for (const [nsid, namespace] of this.byNsid) {
      const identity = present.get(nsid);
      if (identity !== undefined && namespace.matches(identity)) continue;
      namespace.markRemoved();
      this.byNsid.delete(nsid);
      removed.push(nsid);
    }
    for (const identity of identities) {
      const known = this.byNsid.get(identity.nsid);
      if (known === undefined) {
        this.byNsid.set(identity.nsid, new HostNamespace(this.controller, identity));
        added.push(identity.nsid);
        continue;
      }
      if (known.sizeBytes !== identity.sizeBytes) resized.push(identity.nsid);
      known.update(identity);
    }
    return { added, removed, resized };
  }
}

export function hasChanges(changes: NamespaceChanges): boolean {
  return changes.added.length + changes.removed.length + changes.resized.length > 0;
}
