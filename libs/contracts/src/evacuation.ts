/** What came of emptying a node or a disk. */
export interface EvacuationReport {
  readonly node: string;
  /** Null: all disks of the node. */
  readonly disk: string | null;
  readonly movedReplicas: number;
  /** Copies of images that were made elsewhere first where that was needed. */
  readonly movedCopies: number;
  readonly remaining: {
    readonly replicas: readonly {
      readonly volume: string;
      readonly name: string;
      readonly replica: string;
      readonly disk: string;
      readonly code: string;
      readonly reason: string;
    }[];
    readonly copies: readonly {
      readonly image: string;
      readonly name: string;
      readonly disk: string;
      readonly code: string;
      readonly reason: string;
    }[];
    /** Volumes that are attached there. */
    readonly engines: readonly { readonly volume: string; readonly name: string }[];
  };
}
