import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundleOf } from '@lariat/kernel';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { inputsRecord, isOfThisBuild } from './bundle-inputs.mjs';
import { PROGRAMS } from './programs.mjs';
import { setup } from './whole-build.mjs';

let root;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'lariat-bundle-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe('programs', () => {
  it('are built where they are looked for, of what is built now', () => {
    for (const { entry, file } of PROGRAMS.filter(({ entry }) => entry.endsWith('.js')))
      expect(file).toBe(bundleOf(entry));
    expect(setup).not.toThrow();
  });
});

describe('a bundle', () => {
  const record = () => {
    const { path, content } = inputsRecord(root, 'main.bundle.js', ['a.js', 'b.js']);
    writeFileSync(join(root, path), content);
  };
  it('is of this build until a module of it is another, or is gone', () => {
    for (const name of ['a.js', 'b.js']) writeFileSync(join(root, name), name);
    expect(isOfThisBuild(root, 'main.bundle.js')).toBe(false);
    record();
    expect(isOfThisBuild(root, 'main.bundle.js')).toBe(true);
    writeFileSync(join(root, 'b.js'), 'c.js');
    expect(isOfThisBuild(root, 'main.bundle.js')).toBe(false);
    record();
    rmSync(join(root, 'a.js'));
    expect(isOfThisBuild(root, 'main.bundle.js')).toBe(false);
  });
});
