import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'vitest';
import { RecordedFolder } from '../../left-over/record.js';
import type { TargetKind } from './target-kind.js';
import { TargetProcess } from './target-process.js';

/** Targets of one test, and what has to be closed after it, in a folder of its own. */
export class Lab {
  private readonly targets: TargetProcess[] = [];
  private readonly closers: (() => Promise<void>)[] = [];

  private constructor(
    private readonly kind: TargetKind,
    private readonly folder: RecordedFolder,
  ) {}

  static open(kind: TargetKind): Promise<Lab> {
    const folder = RecordedFolder.make('lariat-contract-');
    return Promise.resolve(new Lab({ ...kind, started: (pid) => folder.note(pid) }, folder));
  }

  async startTarget(diskBytes?: number): Promise<TargetProcess> {
    const index = this.targets.length;
    const target = await TargetProcess.start(this.kind, this.folder.path, index, diskBytes);
    this.targets.push(target);
    return target;
  }

  /** Runs before the targets stop, latest first. */
  onClose(closer: () => Promise<void>): void {
    this.closers.unshift(closer);
  }

  async close(context?: TestContext): Promise<void> {
    for (const closer of this.closers) await closer();
    const codes = await Promise.all(this.targets.map((target) => target.stop()));
    if (context?.task.result?.state === 'fail') await this.printLogs();
    this.folder.remove();
    // Null is a target that the test killed.
    if (codes.some((code) => code !== 0 && code !== null)) {
      throw new Error(`targets ended with ${codes.join(', ')} instead of 0`);
    }
  }

  private async printLogs(): Promise<void> {
    for (const index of this.targets.keys()) {
      process.stderr.write(await readFile(join(this.folder.path, `target-${index}.log`), 'utf8'));
    }
  }
}
