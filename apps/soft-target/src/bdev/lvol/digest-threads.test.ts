import { createHash, randomBytes } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { afterEach, expect, test, vi } from 'vitest';
import { DigestThreads } from './digest-threads.js';

const LENGTH = 64 * 1024;
const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex');

afterEach(() => {
  vi.restoreAllMocks();
});

test('digests are of what was read, into the memory that was offered or other, many at once', async () => {
  const threads = new DigestThreads();
  const contents = Array.from({ length: 20 }, () => randomBytes(LENGTH));
  const digests = contents.map(async (content, at) =>
    threads.digest(LENGTH, async (into) => {
      if (at % 2 === 0) return content;
      content.copy(into);
      return into;
    }),
  );
  expect((await Promise.all(digests)).map((digest) => digest.toString('hex'))).toEqual(
    contents.map(sha256),
  );
  const error = new Error('a bad block');
  await expect(threads.digest(LENGTH, () => Promise.reject(error))).rejects.toBe(error);
  const other = randomBytes(2 * LENGTH);
  expect((await threads.digest(other.length, async () => other)).toString('hex')).toBe(
    sha256(other),
  );
});

test('what a thread was asked for fails with it, and another takes its place', async () => {
  const threads = new DigestThreads();
  const post = vi.spyOn(Worker.prototype, 'postMessage').mockImplementation(function (
    this: Worker,
  ) {
    void this.terminate();
  });
  const content = randomBytes(LENGTH);
  await expect(threads.digest(LENGTH, async () => content)).rejects.toMatchObject({
    message: expect.stringContaining('has ended') as string,
  });
  post.mockRestore();
  expect((await threads.digest(LENGTH, async () => content)).toString('hex')).toBe(sha256(content));
});
