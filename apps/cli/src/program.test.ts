import 'reflect-metadata';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ERROR_KIND_BY_CODE, REQUEST_DTOS } from '@lariat/contracts';
import type { Command } from 'commander';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EXIT_CODE_BY_KIND } from './exit-codes.js';
import { Interruption } from './interruption.js';
import { bashCompletion, toWordTree } from './output/completion.js';
import { createProgram, run } from './program.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lariat-cli-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function cli(...words: readonly string[]) {
  const text = { stdout: '', stderr: '' };
  const stream = (name: keyof typeof text) => ({
    write: (part: string) => {
      text[name] += part;
    },
  });
  const code = await run(
    ['--data', folder, ...words],
    { stdout: stream('stdout'), stderr: stream('stderr') },
    new Interruption(),
  );
  return { code, ...text };
}

const program = (): Command =>
  createProgram({
    streams: { stdout: { write: () => true }, stderr: { write: () => true } },
    interruption: new Interruption(),
    setExitCode: () => undefined,
  });

describe('exit codes', () => {
  it('differ for each kind of error, and cover the codes of the contract', () => {
    const codes = Object.values(EXIT_CODE_BY_KIND);
    expect(new Set(codes).size).toBe(codes.length);
    for (const kind of Object.values(ERROR_KIND_BY_CODE)) {
      expect(EXIT_CODE_BY_KIND[kind]).toBeGreaterThan(0);
    }
  });

  it.each([
    [['no-such-command']],
    [['volume', 'create', 'x']],
    [['volume', 'create', 'x', '--size', 'many']],
    [['volume', 'create', 'x', '--size', '0']],
    [['volume', 'create', 'x', '--from', 'db@']],
    [['volume', 'create', 'x', '--from', 'db', '--image', 'debian']],
    [['volume', 'update', 'x']],
    [['volume', 'update', 'x', '--replicas', 'all']],
    [['volume', 'update', 'x', '--rw-iops', 'many']],
    [['volume', 'create', 'x', '--from', 'db@a@b']],
    [['volume', 'attach', 'x', '--node', 'n1', '--frontend', 'tape']],
    [['volume', 'create', 'x', '--size', '1MiB', '--zone-anti-affinity', 'maybe']],
    [['disk', 'update', 'n1', 'd1', '--reserve', 'some']],
    [['disk', 'update', 'n1', 'd1', '--over-provisioning', '0']],
    [['up', '--nodes', '-1']],
    [['trace', 'xyz']],
    [['volume', 'list', '--timeout', 'soon']],
    [['image', 'create', 'x']],
    [['image', 'create', 'x', '--file', 'a.img', '--url', 'http://a/b']],
    [['image', 'create', 'x', '--file', 'a.img', '--from', 'db']],
    [['image', 'create', 'x', '--from', 'db@']],
    [['image', 'create', 'x', '--from', 'db', '--node', 'n1']],
    [['image', 'create', 'x', '--file', 'a.img', '--no-wait']],
    [['image', 'create', 'x', '--file', 'a.img', '--node-file', 'n1:/a.img']],
    [['image', 'create', 'x', '--node-file', '/srv/a.img']],
    [['image', 'create', 'x', '--node-file', 'n1:a.img']],
    [['test', 'no-such-stage']],
    [['test', '--soak', 'long']],
    [['up', '--target', 'spdk']],
  ])('of a wrong command line is 2: %j', async (words) => {
    const { code, stderr } = await cli(...words);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: /);
  });

  it('of a wrong command line is 2 with --json too, with one document', async () => {
    const { code, stdout, stderr } = await cli('volume', 'create', 'x', '--size', 'many', '--json');
    expect(code).toBe(2);
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'USAGE', kind: 'invalid' } });
  });

  it('is 6 where no cluster runs', async () => {
    const { code, stdout } = await cli('status', '--json');
    expect(code).toBe(6);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'CLUSTER_NOT_RUNNING' } });
  });

  it('is 0 for help, version, and a down without a cluster', async () => {
    expect((await cli('--help')).code).toBe(0);
    expect((await cli('volume', 'create', '--help')).stdout).toContain('--size');
    expect((await cli('--version')).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    const down = await cli('down', '--json');
    expect(down.code).toBe(0);
    expect(JSON.parse(down.stdout)).toMatchObject({ wasRunning: false });
  });
});

describe('the commands', () => {
  it('reach every verb of the API', () => {
    const paths = new Set(toWordTree(program()).paths.map(({ path }) => path));
    const verbs = Object.keys(REQUEST_DTOS).filter((name) => !name.startsWith('internal.'));
    expect(verbs.length).toBeGreaterThan(20);
    expect(verbs.filter((name) => !paths.has(name.replace('.', ' ')))).toEqual([]);
  });

  it('each say what they do', () => {
    const silent: string[] = [];
    const visit = (command: Command): void => {
      if (command.description() === '') silent.push(command.name());
      for (const child of command.commands) visit(child);
    };
    visit(program());
    expect(silent).toEqual([]);
  });
});

describe('completion', () => {
  const complete = (line: string): readonly string[] => {
    const words = line.split(' ');
    const script = `${bashCompletion(toWordTree(program()))}
      COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')})
      COMP_CWORD=${words.length - 1}
      _lariat
      echo "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8' });
    expect(stderr).toBe('');
    return stdout.trim().split(' ');
  };
  it('offers the commands, those below a command, and options', () => {
    expect(complete('lariat vol')).toEqual(['volume']);
    expect(complete('lariat volume cr')).toEqual(['create']);
    expect(complete('lariat --json volume create --si')).toEqual(['--size']);
    expect(complete('lariat volume create db --no-w')).toEqual(['--no-wait']);
  });

  it.each(['bash', 'zsh', 'fish'])('is printed for %s', async (shell) => {
    const { code, stdout } = await cli('completion', shell);
    expect(code).toBe(0);
    expect(stdout).toContain('snapshot');
  });
});

describe('an interruption', () => {
  it('ends the process at once, unless a command has taken it over', () => {
    const codes: number[] = [];
    const said: string[] = [];
    const free = new Interruption(
      (code) => codes.push(code),
      (text) => said.push(text),
    );
    free.setHint('it goes on');
    free.interrupt();
    expect(codes).toEqual([130]);
    expect(said).toEqual(['it goes on']);

    const taken = new Interruption(
      (code) => codes.push(code),
      (text) => said.push(text),
    );
    const signal = taken.takeOver();
    taken.interrupt();
    taken.interrupt();
    expect(signal.aborted).toBe(true);
    expect(codes).toEqual([130]);
    expect(said).toEqual(['it goes on', 'stopping ...']);
  });
});
