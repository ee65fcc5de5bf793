export interface FilesPort {
  kindOf(path: string): Promise<'absent' | 'file' | 'device' | 'other'>;
  /** Of what is at the path: the same while it is that very file or device. */
  identityOf(path: string): Promise<string>;
  /** Reads a little of both ends; throws what the disk says. */
  probe(path: string): Promise<void>;
  /** Makes a sparse file; refuses one that is there. */
  makeSparse(path: string, sizeBytes: number): Promise<void>;
  /** What the first and the last MiB show that a disk holds (kernel's identifyContent); empty for a blank one. */
  contentOf(path: string): Promise<readonly string[]>;
  /** The uuid of the Lariat lvol store that its label tells of. */
  storeUuidOf(path: string): Promise<string | undefined>;
  /** Zeros those, so that the disk is blank. Throws EBUSY for a block device that is mounted or otherwise in use. */
  clearContent(path: string): Promise<void>;
  remove(path: string): Promise<void>;
}
