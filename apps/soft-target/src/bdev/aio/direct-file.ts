import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { MIB } from '@lariat/kernel';
import { isAligned } from '@lariat/nvme-tcp';

/** What is this long is a whole cluster: the bulk of an image or a copy, which nobody reads again soon. */
const LEAST_BYTES = MIB;
/** At a time: two threads of the pool are left for everybody else's I/O. */
const IN_FLIGHT = 2;

/**
 * A file's way past the page cache (O_DIRECT). The kernel keeps the two ways coherent: what is dirty in the cache is written
 * before, and what is clean is dropped after. A direct write is on the medium no sooner than others, as far as its
 * own cache goes: it takes a sync all the same.
 */
export class DirectFile {
  private underWay = 0;
  private readonly waiting: (() => void)[] = [];
  private isRefused = false;

  private constructor(private readonly file: FileHandle) {}

  /** Undefined where the file system has no such way. */
  static async open(file: FileHandle, readOnly: boolean): Promise<DirectFile | undefined> {
    if (process.platform !== 'linux') return undefined;
    const mode = readOnly ? constants.O_RDONLY : constants.O_RDWR;
    try {
      // By the descriptor: the name may be another file's by now.
      return new DirectFile(await open(`/proc/self/fd/${file.fd}`, mode | constants.O_DIRECT));
    } catch {
      // EINVAL, as a rule; all I/O goes through the page cache then, and tells of what is truly amiss.
      return undefined;
    }
  }

  takes(bytes: Buffer): boolean {
    return !this.isRefused && bytes.length >= LEAST_BYTES && isAligned(bytes);
  }

  /** Bytes written; undefined when the kernel does not take this I/O so: nothing has happened then. */
  write(bytes: Buffer, offsetBytes: number): Promise<number | undefined> {
    return this.run(
      async () => (await this.file.write(bytes, 0, bytes.length, offsetBytes)).bytesWritten,
    );
  }

  /** Bytes read; undefined as for `write`. */
  read(into: Buffer, offsetBytes: number): Promise<number | undefined> {
    return this.run(
      async () => (await this.file.read(into, 0, into.length, offsetBytes)).bytesRead,
    );
  }

  close(): Promise<void> {
    return this.file.close();
  }

  private async run(io: () => Promise<number>): Promise<number | undefined> {
    while (this.underWay >= IN_FLIGHT)
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    this.underWay += 1;
    try {
      return await io();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
      // The device's sectors are larger than its blocks here.
      this.isRefused = true;
      return undefined;
    } finally {
      this.underWay -= 1;
      this.waiting.shift()?.();
    }
  }
}
