import { describe, expect, test } from 'vitest';
import { FileSync } from './file-sync.js';

interface Pending {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** A sync that ends when the test says so. */
function manual(): { readonly file: FileSync; readonly begun: Pending[] } {
  const begun: Pending[] = [];
  const file = new FileSync(
    () => new Promise<void>((resolve, reject) => begun.push({ resolve, reject })),
  );
  return { file, begun };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a sync of a file', () => {
  test('that is asked for while one is under way begins after it, and is shared', async () => {
    const { file, begun } = manual();
    const first = file.run();
    await turn();
    const later = [file.run(), file.run()];
    await turn();
    expect(begun).toHaveLength(1);
    begun[0]?.resolve();
    await first;
    await turn();
    expect(begun).toHaveLength(2);
    begun[1]?.resolve();
    await Promise.all(later);
    expect(begun).toHaveLength(2);
  });

  test('fails with the one that it waited for, whose error the kernel would not tell it', async () => {
    const { file, begun } = manual();
    const first = file.run();
    await turn();
    const second = file.run();
    begun[0]?.reject(new Error('EIO'));
    await expect(first).rejects.toThrow('EIO');
    await expect(second).rejects.toThrow('EIO');
    expect(begun).toHaveLength(1);
  });

  test('is never tried again after one that failed', async () => {
    const { file, begun } = manual();
    const first = file.run();
    await turn();
    begun[0]?.reject(new Error('EIO'));
    await expect(first).rejects.toThrow('EIO');
    await expect(file.run()).rejects.toThrow('EIO');
    await expect(file.run()).rejects.toThrow('EIO');
    expect(begun).toHaveLength(1);
  });

  test('begins anew after one that was answered', async () => {
    const { file, begun } = manual();
    const first = file.run();
    await turn();
    begun[0]?.resolve();
    await first;
    const second = file.run();
    await turn();
    expect(begun).toHaveLength(2);
    begun[1]?.resolve();
    await second;
  });
});
