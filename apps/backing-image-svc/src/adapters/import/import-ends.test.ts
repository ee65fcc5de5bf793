import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { MIB } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import { hasTool, run, sparseContent } from '../../testing/images.js';
import {
  codeOf,
  expectNothingLeft,
  failure,
  importing,
  lab,
  optionsOf,
  environmentOf,
  restlessClock,
} from '../../testing/import-lab.js';
import { FileSource } from '../file/file-source.js';
import { importImage } from './import-image.js';

const HAS_QEMU = hasTool('qemu-img');
const CONTENT = sparseContent(24 * MIB + 5 * 512);

function canMount(): boolean {
  const probe = mkdtempSync(join(tmpdir(), 'lariat-mount-'));
  try {
    run(probe, 'mount', '-t', 'tmpfs', 'none', probe);
    run(tmpdir(), 'umount', probe);
    return true;
  } catch {
    // Not root, or in a container that may not.
    return false;
  } finally {
    rmSync(probe, { recursive: true, force: true });
  }
}

describe.skipIf(!canMount())(
  'a full disk for temporary files, where this user can mount one,',
  () => {
    const withFullDisk = async (sizeBytes: number, work: () => Promise<void>): Promise<void> => {
      mkdirSync(lab.scratchParent);
      lab.run('mount', '-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'none', lab.scratchParent);
      try {
        await work();
      } finally {
        lab.run('umount', lab.scratchParent);
      }
    };

    it('ends the import of what has to be unpacked first', async () => {
      writeFileSync(lab.image('a.gz'), gzipSync(randomBytes(8 * MIB)));
      await withFullDisk(4 * MIB, async () => {
        expect(await failure('a.gz')).toBe('IMAGE_SCRATCH_FULL');
      });
    });

    it.skipIf(!HAS_QEMU)('ends the import of a qcow2 that grows', async () => {
      writeFileSync(lab.image('a.img'), Buffer.alloc(32 * MIB, 7));
      lab.run('qemu-img', 'convert', '-O', 'qcow2', '-c', 'a.img', 'a.qcow2');
      await withFullDisk(8 * MIB, async () => {
        expect(await failure('a.qcow2')).toBe('IMAGE_SCRATCH_FULL');
      });
    });
  },
);

describe('an import that ends early', () => {
  /** Imports 24 MiB into a sink whose writes do what the test says. */
  function intoSink(
    write: (cluster: number) => Promise<void>,
    close: () => void,
    signal: AbortSignal,
  ): Promise<unknown> {
    writeFileSync(lab.image('a.img'), randomBytes(24 * MIB));
    return importImage({
      source: new FileSource(lab.image('a.img'), { maxBytes: 1024 * MIB, folders: ['/'] }),
      options: optionsOf(),
      environment: environmentOf(),
      openSink: () =>
        Promise.resolve({
          writeCluster: write,
          finish: () => Promise.reject(new Error('it is not finished')),
          close: () => Promise.resolve(close()),
        }),
      signal,
      onProgress: () => undefined,
    });
  }

  it('for a sink that fails says so, when its other writes have ended', async () => {
    let underWay = 0;
    let isClosed = false;
    const failing = intoSink(
      async (cluster) => {
        underWay += 1;
        await new Promise((resolve) => setTimeout(resolve, cluster === 3 ? 5 : 30));
        underWay -= 1;
        if (cluster === 3) throw new Error('the disk is on fire');
      },
      () => {
        isClosed = true;
      },
      new AbortController().signal,
    );
    await expect(failing).rejects.toThrow('the disk is on fire');
    expect({ underWay, isClosed }).toEqual({ underWay: 0, isClosed: true });
    expectNothingLeft();
  });

  it('by cancel does not wait for writes whose path is lost', async () => {
    const stop = new AbortController();
    const lost: ((reason: Error) => void)[] = [];
    const ending = intoSink(
      () =>
        new Promise((_resolve, reject) => {
          lost.push(reject);
          stop.abort();
        }),
      () => {
        for (const fail of lost) fail(new Error('closed'));
      },
      stop.signal,
    );
    await expect(ending).rejects.toMatchObject({ code: 'OPERATION_CANCELLED' });
    expect(lost.length).toBeGreaterThan(0);
    expectNothingLeft();
  });

  const CASES = ['a.img', 'a.img.gz', 'a.img.xz', 'a.img.zst', 'a.qcow2', 'a.qcow2.xz'] as const;
  const canMake = (name: string): boolean =>
    (!name.includes('qcow2') || HAS_QEMU) &&
    (!name.endsWith('.xz') || hasTool('xz')) &&
    (!name.endsWith('.zst') || hasTool('zstd'));

  for (const name of CASES) {
    it.skipIf(!canMake(name))(`by cancel, at any time, leaves nothing of ${name}`, async () => {
      writeFileSync(lab.image('a.img'), CONTENT);
      if (HAS_QEMU) lab.run('qemu-img', 'convert', '-O', 'qcow2', 'a.img', 'a.qcow2');
      const inner = name.startsWith('a.qcow2') ? 'a.qcow2' : 'a.img';
      if (name.endsWith('.gz')) lab.run('gzip', '-k', '-1', inner);
      if (name.endsWith('.xz')) lab.run('xz', '-k', '-0', inner);
      if (name.endsWith('.zst')) lab.run('zstd', '-q', '-k', inner);
      const whole = importing(name, {}, undefined, undefined, restlessClock());
      await whole.result;
      for (const share of [0, 0.2, 0.4, 0.6, 0.8]) {
        const stop = new AbortController();
        const stopAfter = Math.floor(whole.progress.length * share);
        let told = 0;
        const onProgress = (): void => {
          told += 1;
          if (told > stopAfter) stop.abort();
        };
        const begun = importing(name, {}, stop.signal, onProgress, restlessClock());
        const code = await codeOf(begun);
        expect(['OPERATION_CANCELLED', ...(share > 0.5 ? ['done'] : [])]).toContain(code);
        expect(begun.sink.isFinished).toBe(code === 'done');
        expectNothingLeft();
      }
    });
  }

  it('by cancel, before it began, does nothing', async () => {
    writeFileSync(lab.image('a.img'), CONTENT);
    const begun = importing('a.img', {}, AbortSignal.abort());
    expect(await codeOf(begun)).toBe('OPERATION_CANCELLED');
    expect(begun.sink.content).toHaveLength(0);
    expectNothingLeft();
  });
});
