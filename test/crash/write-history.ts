import { BLOCK_BYTES, blockContent, describeContent, type BlockVersion } from './block-content.js';

interface BlockHistory {
  /** In the order of their begin, which is that of their effect: a block has one write under way at most. */
  versions: BlockVersion[];
  /** Index of the last version that was acknowledged. */
  acknowledged: number;
  /** Index of the last version that was acknowledged when a flush began that has been answered. */
  flushed: number;
}

export interface BegunWrite {
  readonly version: BlockVersion;
  readonly block: number;
  readonly blocks: number;
  readonly data: Buffer;
  readonly isZero: boolean;
}

/** What must have survived: all that was acknowledged, or all that was flushed. */
export type Survival = 'acknowledged' | 'flushed';

const NEVER_WRITTEN: BlockVersion = { sequence: 0, isZero: true };

/** What each block of a device may read as, from the writes that were begun, acknowledged and flushed. */
export class WriteHistory {
  private readonly histories: BlockHistory[];
  private sequence = 0;
  private acknowledgements = 0;

  constructor(readonly blocks: number) {
    this.histories = Array.from({ length: blocks }, () => ({
      versions: [NEVER_WRITTEN],
      acknowledged: 0,
      flushed: 0,
    }));
  }

  /** Writes that were acknowledged, ever. */
  get acknowledgedWrites(): number {
    return this.acknowledgements;
  }

  begin(block: number, blocks: number, isZero: boolean): BegunWrite {
    this.sequence += 1;
    const version: BlockVersion = { sequence: this.sequence, isZero };
    const content: Buffer[] = [];
    for (let at = block; at < block + blocks; at += 1) {
      this.of(at).versions.push(version);
      content.push(blockContent(at, version));
    }
    return { version, block, blocks, data: Buffer.concat(content), isZero };
  }

  acknowledge({ version, block, blocks }: BegunWrite): void {
    this.acknowledgements += 1;
    for (let at = block; at < block + blocks; at += 1) {
      const history = this.of(at);
      history.acknowledged = Math.max(history.acknowledged, history.versions.indexOf(version));
    }
  }

  /** What a flush that begins now covers, to be given to `flushed` when it is answered. */
  beginFlush(): readonly BlockVersion[] {
    return this.histories.map(
      ({ versions, acknowledged }) => versions[acknowledged] ?? NEVER_WRITTEN,
    );
  }

  flushed(covered: readonly BlockVersion[]): void {
    for (const [block, version] of covered.entries()) {
      const history = this.of(block);
      history.flushed = Math.max(history.flushed, history.versions.indexOf(version));
    }
  }

  /** The bytes that the last acknowledged write left in a block. */
  latest(block: number): Buffer {
    const { versions, acknowledged } = this.of(block);
    return blockContent(block, versions[acknowledged] ?? NEVER_WRITTEN);
  }

  /** Blocks of a device's whole content that are neither the last that had to survive nor a later one. */
  violations(content: Buffer, survival: Survival): readonly string[] {
    const found: string[] = [];
    for (let block = 0; block < this.blocks; block += 1) {
      const data = contentOf(content, block);
      if (this.match(block, data, survival) !== -1) continue;
      const history = this.of(block);
      const floor = history[survival];
      const allowed = history.versions
        .slice(floor)
        .map(({ sequence, isZero }) => (isZero ? `zeros (${sequence})` : String(sequence)));
      found.push(`block ${block} holds ${describeContent(data)}; allowed: ${allowed.join(', ')}`);
    }
    return found;
  }

  /** Takes what was found for what there is; a write that was cut off is settled by it. */
  settle(content: Buffer, survival: Survival): void {
    for (let block = 0; block < this.blocks; block += 1) {
      const at = this.match(block, contentOf(content, block), survival);
      if (at === -1) throw new Error(`block ${block} holds nothing that may be there`);
      const history = this.of(block);
      // After a power cut what was found is what the medium holds; before one it may be in memory only.
      if (survival === 'flushed') history.flushed = at;
      history.versions = history.versions.slice(history.flushed, at + 1);
      history.acknowledged = history.versions.length - 1;
      history.flushed = 0;
    }
  }

  /** Index of the newest allowed version with these bytes, or -1. */
  private match(block: number, data: Buffer, survival: Survival): number {
    const { versions, [survival]: floor } = this.of(block);
    for (let at = versions.length - 1; at >= floor; at -= 1) {
      if (blockContent(block, versions[at] ?? NEVER_WRITTEN).equals(data)) return at;
    }
    return -1;
  }

  private of(block: number): BlockHistory {
    const history = this.histories[block];
    if (history === undefined) throw new Error(`there is no block ${block}`);
    return history;
  }
}

function contentOf(content: Buffer, block: number): Buffer {
  return content.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
}
