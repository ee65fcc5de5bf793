import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MIB, toLariatError } from '@lariat/kernel';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ScratchFolder, sweepScratch } from '../scratch/scratch-folder.js';
import { Sandbox, Tool } from './sandbox.js';
import { ToolProcess, type ToolTask } from './tool-process.js';

const PATH = process.env['PATH'] ?? '/usr/bin:/bin';
const NEVER = new AbortController().signal;

let parent: string;
let scratch: ScratchFolder;
beforeEach(async () => {
  parent = mkdtempSync(join(tmpdir(), 'lariat-sandbox-'));
  scratch = await ScratchFolder.make(parent);
});
afterEach(() => rmSync(parent, { recursive: true, force: true }));

/** A folder to stand before PATH, in which a tool's name is a shell script. */
function pretending(tool: Tool, script: string): string {
  const bin = mkdtempSync(join(parent, 'bin-'));
  writeFileSync(join(bin, tool), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  chmodSync(bin, 0o755);
  return `${bin}:${PATH}`;
}

async function starting(script: string, task: Partial<ToolTask> = {}): Promise<ToolProcess> {
  // The program runs as nobody, who must be able to find it.
  if (process.getuid?.() === 0) await scratch.handOver(parent);
  const sandbox = await Sandbox.detect(pretending(Tool.xz, script));
  return ToolProcess.start(sandbox, {
    tool: Tool.xz,
    args: [],
    folder: scratch.path,
    limits: { cpuSeconds: 10, fileBytes: MIB, memoryBytes: 512 * MIB },
    deadlineMs: 20_000,
    signal: NEVER,
    ...task,
  });
}

async function outputOf(process: ToolProcess): Promise<string> {
  process.stdin.end();
  let text = '';
  for await (const chunk of process.stdout) text += String(chunk);
  return text.trim();
}

/** Ids of processes whose folder is the scratch one. */
const atWork = (): readonly string[] =>
  readdirSync('/proc').filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`HOME=${scratch.path}\0`);
    } catch {
      // Not a process, or one that has ended.
      return false;
    }
  });

async function until(holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!holds() && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(holds()).toBe(true);
}

describe('a program in the sandbox', () => {
  it('gets its arguments as they are, a small environment, and its own folder', async () => {
    const args = ['a b', '$(id)', '; touch x', '*'];
    const text = await outputOf(
      await starting('printf "%s|" "$@"; env | cut -d= -f1 | sort | tr "\\n" " "; pwd', { args }),
    );
    expect(text).toContain('a b|$(id)|; touch x|*|');
    expect(text).toMatch(/HOME LC_ALL MALLOC_ARENA_MAX (OLDPWD )?PATH PWD TMPDIR/);
    expect(text.endsWith(scratch.path)).toBe(true);
  });

  it('may not make larger files, or more of them at once, than it was given', async () => {
    const process = await starting(
      'head -c 4000000 /dev/zero > big; wc -c < big; ulimit -n; ulimit -c',
    );
    expect(await outputOf(process)).toBe(`${MIB}\n64\n0`);
  });

  it('may not use more memory or processor time than it was given', async () => {
    const limits = { cpuSeconds: 1, fileBytes: 0, memoryBytes: 64 * MIB };
    expect(await outputOf(await starting('ulimit -v; ulimit -t', { limits }))).toBe('65536\n1');
    const spinning = await starting('while :; do :; done', { limits });
    expect(await outputOf(spinning)).toBe('');
    expect(await spinning.done).toMatchObject({ code: null, isLate: false });
  });

  it.skipIf(process.getuid?.() !== 0)('does not have the rights of root', async () => {
    expect(await outputOf(await starting('id -u; cat /etc/shadow'))).toBe('65534');
  });

  it('ends with all that it started at its deadline', async () => {
    const process = await starting('sleep 600 & sleep 600', { deadlineMs: 300 });
    expect(await process.done).toMatchObject({ code: null, killedBy: 'SIGKILL', isLate: true });
    await until(() => atWork().length === 0);
  });

  it('ends with all that it started when it is cancelled', async () => {
    const stop = new AbortController();
    const process = await starting('sleep 600 & sleep 600', { signal: stop.signal });
    await until(() => atWork().length > 0);
    stop.abort();
    expect(await process.done).toMatchObject({ code: null, killedBy: 'SIGKILL', isLate: false });
    await until(() => atWork().length === 0);
  });

  it('ends with the process that started it, however that ends', async () => {
    const path = pretending(Tool.xz, 'exec sleep 600');
    if (process.getuid?.() === 0) await scratch.handOver(parent);
    const dist = new URL('../../../dist/adapters/child/', import.meta.url);
    const script = `
      import { Sandbox } from '${new URL('sandbox.js', dist).href}';
      import { ToolProcess } from '${new URL('tool-process.js', dist).href}';
      await ToolProcess.start(await Sandbox.detect('${path}'), {
        tool: 'xz', args: [], folder: '${scratch.path}', deadlineMs: null,
        limits: { cpuSeconds: 10, fileBytes: 0, memoryBytes: ${512 * MIB} },
        signal: new AbortController().signal,
      });`;
    const service = spawn(process.execPath, ['--input-type=module', '-e', script]);
    await until(() => atWork().length > 0);
    service.kill('SIGKILL');
    await until(() => atWork().length === 0);
    expect(service.killed).toBe(true);
  });

  it('that ends before it has read everything harms nobody', async () => {
    const process = await starting('exit 3');
    process.stdin.write(Buffer.alloc(MIB));
    process.stdin.write(Buffer.alloc(MIB));
    process.stdout.resume();
    expect(await process.done).toMatchObject({ code: 3 });
  });

  it('that is not there is named, with its package', async () => {
    const bin = mkdtempSync(join(parent, 'bin-'));
    writeFileSync(join(bin, 'prlimit'), '#!/bin/sh\n', { mode: 0o755 });
    const sandbox = await Sandbox.detect(bin);
    const started = ToolProcess.start(sandbox, {
      tool: Tool.qemuImg,
      args: [],
      folder: scratch.path,
      limits: { cpuSeconds: 1, fileBytes: 0, memoryBytes: MIB },
      deadlineMs: null,
      signal: NEVER,
    });
    const error = await started.then(() => null, toLariatError);
    expect(error).toMatchObject({ code: 'IMAGE_TOOL_MISSING' });
    expect(error?.message).toContain('qemu-utils');
  });
});

describe('the sweep', () => {
  it('removes the folders of processes that are no more, and no others', async () => {
    const left = ['import-999999999-1-abcdef', `import-${process.pid}-1-abcdef`];
    for (const name of left) rmSync(join(parent, name), { recursive: true, force: true });
    for (const name of left) writeFileSync(join(parent, name), '');
    writeFileSync(join(parent, 'something else'), '');
    expect([...(await sweepScratch(parent))].toSorted()).toEqual(left.toSorted());
    expect(readdirSync(parent).toSorted()).toEqual(
      ['something else', scratch.path.slice(parent.length + 1)].toSorted(),
    );
  });

  it('of a folder that is not there removes nothing', async () => {
    expect(await sweepScratch(join(parent, 'missing'))).toEqual([]);
  });
});
