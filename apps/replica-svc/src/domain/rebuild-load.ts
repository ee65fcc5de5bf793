import type { Json } from '@lariat/kernel';

/** As much of a running rebuild's journal as says which nodes it keeps busy. */
export interface RunningRebuild {
  /** Of the operation. */
  readonly id: string;
  readonly kind: string;
  readonly memory: Readonly<Record<string, Json>>;
}

const NODE_ROLES = ['source', 'target', 'returning'] as const;

/** The nodes that a rebuild reads from and writes to, as far as it has chosen them. Pure. */
export function busyNodesOf({ kind, memory }: RunningRebuild): readonly string[] {
  if (kind !== 'replica.rebuild' && kind !== 'replica.move') return [];
  const nodes = NODE_ROLES.flatMap((role) => nodeOf(memory[role]));
  return [...new Set(nodes)];
}

function nodeOf(place: Json | undefined): readonly string[] {
  if (typeof place !== 'object' || place === null || !('node' in place)) return [];
  return typeof place.node === 'string' ? [place.node] : [];
}

/** How many rebuilds each node takes part in; more than a few at once only slow each other and the volumes down. */
export class RebuildLoad {
  private readonly rebuildsByNode = new Map<string, number>();

  constructor(private readonly maxPerNode: number) {}

  add(nodes: readonly string[]): void {
    for (const node of nodes)
      this.rebuildsByNode.set(node, (this.rebuildsByNode.get(node) ?? 0) + 1);
  }

  hasRoomOn(nodes: readonly string[]): boolean {
    return nodes.every((node) => (this.rebuildsByNode.get(node) ?? 0) < this.maxPerNode);
  }
}
