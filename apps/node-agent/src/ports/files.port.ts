export interface FilesPort {
  kindOf(path: string): Promise<'absent' | 'file' | 'device' | 'other'>;
  /** Makes a sparse file; refuses one that is there. */
  makeSparse(path: string, sizeBytes: number): Promise<void>;
  /** True when the first and the last MiB hold zeros alone: no partition table, file system or store. */
  looksBlank(path: string): Promise<boolean>;
  remove(path: string): Promise<void>;
}
