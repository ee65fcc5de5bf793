/** Where a volume is used on this node: on record before it is mounted, until it is unmounted. */
export interface Staging {
  readonly volume: string;
  readonly epoch: number;
  readonly access: 'mount' | 'block';
  readonly stagingPath: string;
  readonly device: string;
  readonly majorMinor: string;
  readonly fsType: string | null;
  /** Under what name an encrypted volume is opened; absent where it is not. */
  readonly mapping?: string;
  readonly targets: readonly { readonly path: string; readonly readOnly: boolean }[];
}

export interface StagingsPort {
  get(volume: string): Promise<Staging | undefined>;
  put(staging: Staging): Promise<void>;
  drop(volume: string): Promise<void>;
}
