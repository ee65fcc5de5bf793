import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { bundleOf } from '@lariat/kernel';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { inputsRecord, isOfThisBuild } from './bundle-inputs.mjs';
import { BY_PATH, PROGRAMS } from './programs.mjs';
import { setup } from './whole-build.mjs';

const REPOSITORY = join(import.meta.dirname, '..');

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

  it('are all in an image, with what they find beside themselves', () => {
    const inImage = new Set([...PROGRAMS.map(({ file }) => file), ...BY_PATH]);
    // As tools/bundle.mjs has `new URL('./other.js', import.meta.url)` of a module.
    const beside = /new URL\("(\.[^"]+)", new URL\("(\.[^"]+)", import\.meta\.url\)\.href\)/g;
    const found = PROGRAMS.flatMap(({ file }) =>
      Array.from(
        readFileSync(join(REPOSITORY, file), 'utf8').matchAll(beside),
        ([, path, module]) => join(dirname(file), dirname(module), path),
      ),
    );
    expect(found).toContain('apps/soft-target/dist/check/read-metadata-child.js');
    expect(found).toContain('apps/csi-plugin/proto/csi.proto');
    const missing = found.filter((file) => !inImage.has(file) && !inImage.has(bundleOf(file)));
    expect(missing).toEqual([]);
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
