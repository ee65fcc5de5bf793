import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { withLock } from './lock.mjs';
import { ensureNatsServer, findNatsServer } from './nats-server.mjs';
import { checkSha256 } from './nats-sources.mjs';
import { installFailure, isInstalled, lacksOtherPlatformsOnly } from './packages.mjs';
import { run } from './run.mjs';
import { once } from './stamp.mjs';

let root;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'lariat-launcher-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function program(path, text = '#!/bin/sh\necho fake v1\n') {
  writeFileSync(path, text);
  chmodSync(path, 0o755);
  return path;
}

describe('packages', () => {
  const lock = {
    packages: {
      '': {},
      'node_modules/a': { version: '1.0.0' },
      'node_modules/@lariat/kernel': { resolved: 'libs/kernel', link: true },
      'node_modules/other-platform': { version: '2.0.0', optional: true },
    },
  };
  const without = (...names) => ({
    packages: Object.fromEntries(
      Object.entries(lock.packages).filter(([path]) => !names.includes(path)),
    ),
  });
  it('are complete without those of other platforms', () => {
    expect(isInstalled(lock, lock)).toBe(true);
    expect(isInstalled(lock, without('node_modules/other-platform'))).toBe(true);
  });
  it('are incomplete when one is missing, or of another version, or no link', () => {
    expect(isInstalled(lock, without('node_modules/a'))).toBe(false);
    const other = structuredClone(lock);
    other.packages['node_modules/a'].version = '1.0.1';
    expect(isInstalled(lock, other)).toBe(false);
    const copy = structuredClone(lock);
    copy.packages['node_modules/@lariat/kernel'].link = undefined;
    expect(isInstalled(lock, copy)).toBe(false);
  });
});

describe('a failed installation', () => {
  const usage =
    'npm error code EUSAGE\nnpm error `npm ci` can only install packages when your package.json and package-lock.json are in sync.\n';
  it('for the sake of other platforms is told from a lock file that does not fit', () => {
    const other = 'npm error Missing: @swc/core-darwin-arm64@ from lock file\n';
    expect(lacksOtherPlatformsOnly(usage + other + other)).toBe(true);
    const changed = 'npm error Missing: left-pad@1.3.0 from lock file\n';
    expect(lacksOtherPlatformsOnly(usage + other + changed)).toBe(false);
    const invalid = "npm error Invalid: lock file's a@1.0.0 does not satisfy a@2.0.0\n";
    expect(lacksOtherPlatformsOnly(usage + invalid)).toBe(false);
    expect(lacksOtherPlatformsOnly(usage)).toBe(false);
    expect(lacksOtherPlatformsOnly('npm error code ENOTFOUND')).toBe(false);
  });
  it('says what to do about it', () => {
    const message = (code, output) => installFailure('npm ci', { code, output }).message;
    expect(message(1, usage)).toContain('run npm install');
    expect(message(1, 'ENOTFOUND registry')).toMatch(/ENOTFOUND[^]*npm ping/);
    expect(message(127, '')).toContain('npm is missing');
  });
});

describe('work that is done once', () => {
  it('is done again for other inputs and when its outcome is gone, and not else', async () => {
    let input = 'a';
    let isThere = false;
    let count = 0;
    const work = () =>
      once(
        root,
        'work',
        (evenIfMissing) => (isThere || evenIfMissing ? input : undefined),
        async () => {
          count += 1;
          isThere = true;
        },
      );
    await work();
    await work();
    expect(count).toBe(1);
    input = 'b';
    await work();
    expect(count).toBe(2);
    isThere = false;
    await work();
    expect(count).toBe(3);
  });

  it('is done by one of several processes that start together', async () => {
    const script = `
      import { appendFileSync, existsSync } from 'node:fs';
      import { once } from ${JSON.stringify(join(import.meta.dirname, 'stamp.mjs'))};
      const done = ${JSON.stringify(join(root, 'done'))};
      await once(${JSON.stringify(root)}, 'work', (missing) => missing || existsSync(done) ? 'x' : undefined, async () => {
        await new Promise((resolve) => setTimeout(resolve, 200));
        appendFileSync(done, 'once ');
      });`;
    const starts = Array.from({ length: 4 }, () =>
      run(process.execPath, ['--input-type=module', '-e', script]),
    );
    const results = await Promise.all(starts);
    expect(results.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    expect(readFileSync(join(root, 'done'), 'utf8')).toBe('once ');
  });

  it('that failed is tried again', async () => {
    const fail = once(
      root,
      'work',
      () => 'a',
      () => Promise.reject(new Error('no')),
    );
    await expect(fail).rejects.toThrow('no');
    let isDone = false;
    await once(
      root,
      'work',
      () => 'a',
      async () => {
        isDone = true;
      },
    );
    expect(isDone).toBe(true);
  });
});

describe('the lock', () => {
  it('of a process that has ended is taken over', async () => {
    const path = join(root, 'lock');
    const { output } = await run(process.execPath, ['-e', 'console.log(process.pid)']);
    for (const owner of [{ pid: Number(output) }, { pid: process.pid, startTime: '1' }]) {
      writeFileSync(path, JSON.stringify(owner));
      expect(await withLock(path, () => 'done')).toBe('done');
      expect(existsSync(path)).toBe(false);
    }
  });
  it('is given back when the work fails', async () => {
    const path = join(root, 'lock');
    await expect(withLock(path, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(existsSync(path)).toBe(false);
  });
});

describe('nats-server', () => {
  it('is the one that is named, else the one on PATH, else the one that was fetched', () => {
    const bin = join(root, 'bin');
    const fetched = join(root, '.lariat', 'bin');
    for (const folder of [bin, fetched]) mkdirSync(folder, { recursive: true });
    const named = program(join(root, 'named'));
    expect(findNatsServer(root, { PATH: bin })).toBeUndefined();
    const kept = program(join(fetched, 'nats-server'));
    expect(findNatsServer(root, { PATH: bin })).toBe(kept);
    const onPath = program(join(bin, 'nats-server'));
    expect(findNatsServer(root, { PATH: bin })).toBe(onPath);
    expect(findNatsServer(root, { PATH: bin, LARIAT_NATS_SERVER: named })).toBe(named);
  });

  it('that is named and is no program is refused by name', () => {
    const env = { PATH: '', LARIAT_NATS_SERVER: join(root, 'nothing') };
    expect(() => findNatsServer(root, env)).toThrow(/LARIAT_NATS_SERVER is .*nothing/);
  });

  const env = { PATH: '' };
  const good = { name: 'good', fetch: async (work) => program(join(work, 'x')) };
  const bad = { name: 'bad', fetch: () => Promise.reject(new Error('it is down')) };
  const broken = {
    name: 'broken',
    fetch: async (work) => program(join(work, 'x'), '#!/bin/sh\nexit 1\n'),
  };

  it('comes from the first source that has one that runs, and is kept', async () => {
    const path = await ensureNatsServer(root, { env, sources: [bad, broken, good] });
    expect(path).toBe(join(root, '.lariat', 'bin', 'nats-server'));
    expect(await ensureNatsServer(root, { env, sources: [bad] })).toBe(path);
  });

  it('that no source has is an error that says why each had none, and what to do', async () => {
    const failure = await ensureNatsServer(root, { env, sources: [bad, broken] }).catch((e) => e);
    expect(failure.message).toContain('bad: it is down');
    expect(failure.message).toContain('broken: it does not run here');
    expect(failure.message).toContain('LARIAT_NATS_SERVER');
  });

  it('is refused when its checksum is another', () => {
    const sha256 = '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824';
    expect(() => checkSha256(Buffer.from('hello'), sha256, 'x')).not.toThrow();
    expect(() => checkSha256(Buffer.from('hellO'), sha256, 'x.tar.gz')).toThrow(
      /x\.tar\.gz has SHA-256/,
    );
  });
});
