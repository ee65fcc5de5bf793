import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { programFile } from '@lariat/cli';
import type { RecordedFolder } from '../left-over/record.js';
import { type CallEnd, type CsiCaller, csiCaller } from './csi-calls.js';

const MAIN = programFile('apps', 'csi-plugin', 'dist', 'main.js');
const SYSTEM_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin'];
const FORMATTING = ['mkfs.ext4', 'mkfs.xfs', 'e2fsck', 'xfs_repair', 'resize2fs', 'xfs_growfs'];
const PROGRAMS = ['dd', 'mount', 'umount', ...FORMATTING];

/**
 * Stands in the place of each program that the plugin runs. It kills the plugin once a step, before it or after it, or waits
 * for the test; then the real program runs. A step is a program with its first argument.
 */
const STEP = `#!/bin/sh
name=\${0##*/}
at=\${0%/bin/*}
step="$name $1"
case $1 in /*) step=$name ;; *=*) step=$name ;; esac
real=$(cat "$at/real/$name")
if [ -e "$at/hold" ]; then
  : >"$at/held"
  while [ -e "$at/held" ]; do sleep 0.02; done
fi
when=$(cat "$at/kill" 2>/dev/null)
if [ -n "$when" ] && ! grep -qxF "$step" "$at/killed"; then
  echo "$step" >>"$at/killed"
  if [ "$when" = before ]; then
    kill -9 $PPID
    # What is to end with the plugin has ended when it is gone.
    while kill -0 $PPID 2>/dev/null; do sleep 0.02; done
  else
    echo "$step" >>"$at/ran"
    "$real" "$@"
    kill -9 $PPID
    exit
  fi
fi
echo "$step" >>"$at/ran"
exec "$real" "$@"
`;

/** Why no file system can be put on a volume here; undefined when one can. */
export function whyNoFileSystems(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root can mount';
  const missing = [...PROGRAMS, 'setpriv'].filter((program) => pathOf(program) === undefined);
  return missing.length === 0 ? undefined : `${missing.join(', ')} not installed`;
}

function pathOf(program: string): string | undefined {
  return SYSTEM_FOLDERS.map((folder) => join(folder, program)).find((path) => existsSync(path));
}

export interface PluginPlace {
  readonly folder: RecordedFolder;
  readonly natsUrl: string;
  readonly node: string;
}

/** The node's CSI plugin as a process of its own, whose every step can be killed. */
export class CsiPluginProcess {
  private child: ChildProcess | undefined;
  private caller: CsiCaller | undefined;

  constructor(private readonly place: PluginPlace) {
    for (const name of ['bin', 'real']) mkdirSync(this.at(name));
    writeFileSync(this.at('step'), STEP);
    chmodSync(this.at('step'), 0o755);
    for (const program of PROGRAMS) {
      symlinkSync('../step', this.at('bin', program));
      writeFileSync(this.at('real', program), pathOf(program) ?? '');
    }
    this.forget();
  }

  at(...names: readonly string[]): string {
    return join(this.place.folder.path, ...names);
  }

  async start(): Promise<void> {
    const { natsUrl, node, folder } = this.place;
    const socketPath = this.at('csi.sock');
    const flags = ['--endpoint', socketPath, '--nats', natsUrl, '--node', node];
    const child = spawn(process.execPath, [MAIN, ...flags, '--data', this.at('data')], {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { ...process.env, PATH: `${this.at('bin')}${delimiter}${process.env['PATH'] ?? ''}` },
    });
    this.child = child;
    folder.note(child.pid);
    // Its first line says that it serves.
    await Promise.race([
      once(child.stdout, 'data'),
      once(child, 'exit').then(() => Promise.reject(new Error('the plugin has ended'))),
    ]);
    child.stdout.resume();
    this.caller = csiCaller(socketPath);
  }

  /** It runs, and nothing is done to it. */
  async ensure(): Promise<void> {
    this.forget();
    if (!this.isRunning()) await this.start();
  }

  async kill(): Promise<void> {
    this.caller?.close();
    const { child } = this;
    if (child === undefined || !this.isRunning()) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  call(
    service: 'Controller' | 'Node',
    name: string,
    request: object,
    deadlineMs?: number,
  ): Promise<CallEnd> {
    if (this.caller === undefined) throw new Error('the plugin is not running');
    return this.caller.call(service, name, request, deadlineMs);
  }

  /** From here on the plugin dies at each step that it has not died at yet. */
  killAtEachStep(when: 'before' | 'after'): void {
    this.forget();
    writeFileSync(this.at('kill'), when);
  }

  /** Each step waits, until `stop`, for what is done before it. */
  holdEachStep(act: () => Promise<void>): { stop(): Promise<void> } {
    this.forget();
    writeFileSync(this.at('hold'), '');
    let isOver = false;
    const loop = async (): Promise<void> => {
      while (!isOver) {
        if (existsSync(this.at('held'))) {
          await act();
          rmSync(this.at('held'));
        }
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };
    const running = loop();
    return {
      stop: async () => {
        rmSync(this.at('hold'));
        isOver = true;
        await running;
      },
    };
  }

  /** What has happened so far counts no more, and nothing more is done to it. */
  forget(): void {
    for (const name of ['kill', 'hold']) rmSync(this.at(name), { force: true });
    for (const name of ['killed', 'ran']) writeFileSync(this.at(name), '');
  }

  /** Steps that it was killed at. */
  killed(): readonly string[] {
    return this.lines('killed');
  }

  /** Steps whose programs have begun. */
  ran(): readonly string[] {
    return this.lines('ran');
  }

  formats(): number {
    return this.ran().filter((step) => step.startsWith('mkfs')).length;
  }

  /** Programs that make file systems for the volume, by the plugin's own journal. */
  journaledFormats(volume: string): readonly string[] {
    return readFileSync(this.at('data', 'commands.jsonl'), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { program: string; volume: string; is: string })
      .filter((fact) => fact.volume === volume && fact.is === 'begun')
      .flatMap(({ program }) => (program.startsWith('mkfs') ? [program] : []));
  }

  private isRunning(): boolean {
    return this.child?.exitCode === null && this.child.signalCode === null;
  }

  private lines(name: string): readonly string[] {
    return readFileSync(this.at(name), 'utf8')
      .split('\n')
      .filter((line) => line !== '');
  }
}
