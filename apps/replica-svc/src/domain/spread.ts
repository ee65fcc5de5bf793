/** Where a replica is. */
export interface Site {
  readonly node: string;
  readonly disk: string;
  /** Null when its node is not on record any more. */
  readonly zone: string | null;
}

/** How many replicas of one volume each disk, node and zone has. */
export class Spread {
  private readonly disks = new Map<string, number>();
  private readonly nodes = new Map<string, number>();
  private readonly zones = new Map<string, number>();

  constructor(sites: readonly Site[]) {
    for (const site of sites) this.add(site);
  }

  add({ disk, node, zone }: Site): void {
    addOne(this.disks, disk);
    addOne(this.nodes, node);
    if (zone !== null) addOne(this.zones, zone);
  }

  onDisk(disk: string): number {
    return this.disks.get(disk) ?? 0;
  }

  onNode(node: string): number {
    return this.nodes.get(node) ?? 0;
  }

  inZone(zone: string): number {
    return this.zones.get(zone) ?? 0;
  }
}

function addOne(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
