import { randomUUID } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CHECKOUT, identify, type ProcessIdentity } from '@lariat/cli';

export const RECORDS = join(CHECKOUT, '.lariat', 'tests-under-way');

/** What a test has made outside its own process. */
export interface TestRecord {
  /** Pids and start times count from it. */
  readonly boot: string;
  readonly test: ProcessIdentity;
  /** Made for this test alone: all that is mounted, or runs as a cluster, in it is the test's. */
  readonly folder: string;
  readonly processes: readonly ProcessIdentity[];
  /** Network interfaces of this machine; a record of an earlier state of the checkout may have no list of them. */
  readonly interfaces?: readonly string[];
}

export const thisBoot = (): string =>
  readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

/**
 * A folder for temporary files that is on record, with what is started for it, for as long as it is there: a test that
 * is killed can remove nothing, and the next run must know what is left from what is someone else's.
 */
export class RecordedFolder {
  private processes: readonly ProcessIdentity[] = [];
  private interfaces: readonly string[] = [];

  private constructor(
    readonly path: string,
    private readonly file: string,
  ) {}

  static make(prefix: string): RecordedFolder {
    mkdirSync(RECORDS, { recursive: true });
    const path = realpathSync(mkdtempSync(join(tmpdir(), prefix)));
    const recorded = new RecordedFolder(path, join(RECORDS, `${randomUUID()}.json`));
    recorded.write();
    return recorded;
  }

  /** Called right after the start: what the pid stands for now is what is meant. */
  note(pid: number | undefined): void {
    if (pid === undefined) return;
    this.processes = [...this.processes, identify(pid)];
    this.write();
  }

  /** Called before it is made: its name is this test's alone. */
  noteInterface(name: string): void {
    this.interfaces = [...this.interfaces, name];
    this.write();
  }

  /** With all that is in it. */
  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
    rmSync(this.file, { force: true });
  }

  private write(): void {
    const record: TestRecord = {
      ...{ boot: thisBoot(), test: identify(process.pid) },
      ...{ folder: this.path, processes: this.processes, interfaces: this.interfaces },
    };
    const written = `${this.file}.new`;
    writeFileSync(written, JSON.stringify(record));
    renameSync(written, this.file);
  }
}

export interface KeptRecord {
  readonly file: string;
  readonly record: TestRecord;
}

export function keptRecords(): readonly KeptRecord[] {
  return namesIn(RECORDS)
    .filter((name) => name.endsWith('.json'))
    .flatMap((name) => {
      const file = join(RECORDS, name);
      try {
        return [{ file, record: JSON.parse(readFileSync(file, 'utf8')) as TestRecord }];
      } catch {
        // Another run has removed it meanwhile.
        return [];
      }
    });
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
