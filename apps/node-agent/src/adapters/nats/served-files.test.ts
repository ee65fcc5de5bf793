import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { toLariatError } from '@lariat/kernel';
import type { NatsConnection } from '@nats-io/nats-core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { silentLog, tempDir } from '../../testing/fixture.js';
import { ServedFiles } from './served-files.js';

const TOKEN = '0123456789abcdef';
const IDLE_MS = 1_000;

describe('files that an agent serves', () => {
  let temp: ReturnType<typeof tempDir>;
  let files: ServedFiles;
  /** What is subscribed to, and how it is told something. */
  const subjects = new Map<string, (body: object) => void>();
  const connection = {
    subscribe: (
      subject: string,
      { callback }: { callback: (error: null, message: object) => void },
    ) => {
      subjects.set(subject, (body) =>
        callback(null, {
          data: new TextEncoder().encode(JSON.stringify(body)),
          respond: () => undefined,
        }),
      );
      return { unsubscribe: () => subjects.delete(subject) };
    },
  } as unknown as NatsConnection;

  const at = (...names: readonly string[]): string => join(temp.path, ...names);
  const newFiles = (folders: readonly string[] = [at('images')]): ServedFiles => {
    const made = new ServedFiles('n2', folders, silentLog, IDLE_MS);
    made.use(connection);
    return made;
  };
  const serve = (path: string, more: object = {}) =>
    files.serve({ path, token: TOKEN, expected: null, ...more });
  const verdict = async (path: string, more: object = {}): Promise<string> => {
    try {
      await serve(path, more);
      return 'served';
    } catch (reason) {
      return toLariatError(reason).code;
    }
  };
  const openFiles = (): readonly string[] =>
    readdirSync('/proc/self/fd').flatMap((fd) => {
      try {
        const target = readlinkSync(`/proc/self/fd/${fd}`);
        return target.startsWith(temp.path) ? [target] : [];
      } catch {
        // The descriptor that the folder was read with.
        return [];
      }
    });

  beforeEach(() => {
    temp = tempDir();
    mkdirSync(at('images'));
    writeFileSync(at('images', 'a.img'), 'content');
    writeFileSync(at('secret'), 'b');
    files = newFiles();
  });
  afterEach(async () => {
    vi.useRealTimers();
    await files.close();
    temp.remove();
  });

  it('are told of by size, age and inode, and open under their token alone', async () => {
    const version = await serve(at('images', 'a.img'));
    expect(version).toMatchObject({ sizeBytes: 7 });
    expect([...subjects.keys()]).toEqual([`lariat.v1.node-file.n2.${TOKEN}`]);
    // Again: as after a restart, without a second one open.
    expect(await serve(at('images', 'a.img'), { expected: version })).toEqual(version);
    expect(openFiles()).toHaveLength(1);
  });

  it('are in the folders for images, whatever a name leads to', async () => {
    symlinkSync(at('secret'), at('images', 'link'));
    mkdirSync(at('images', 'folder'));
    expect(await verdict(at('images', 'link'))).toBe('IMAGE_SOURCE_REFUSED');
    expect(await verdict(at('images', '..', 'secret'))).toBe('IMAGE_SOURCE_REFUSED');
    expect(await verdict(at('missing'))).toBe('IMAGE_SOURCE_REFUSED');
    expect(await verdict(at('images', 'folder'))).toBe('IMAGE_SOURCE_REFUSED');
    expect(await verdict(at('images', 'missing'))).toBe('IMAGE_SOURCE_NOT_FOUND');
    await expect(serve(at('secret'))).rejects.toThrow(/agent of node 'n2'.*LARIAT_IMAGE_FOLDERS/);
    expect(subjects.size).toBe(0);
    expect(openFiles()).toEqual([]);
  });

  it('are none without folders', async () => {
    files = newFiles([]);
    expect(await verdict(at('images', 'a.img'))).toBe('IMAGE_FILES_CLOSED');
    expect(await verdict(at('missing'))).toBe('IMAGE_FILES_CLOSED');
  });

  it('are not those that were asked for before when they have changed since', async () => {
    const expected = await serve(at('images', 'a.img'));
    appendFileSync(at('images', 'a.img'), 'more');
    expect(await verdict(at('images', 'a.img'), { expected })).toBe('IMAGE_SOURCE_CHANGED');
    expect(subjects.size).toBe(0);
    expect(openFiles()).toEqual([]);
  });

  it('are asked for on no other subjects than those of tokens', async () => {
    for (const token of ['*', '>', '', 'a.b', `${TOKEN}.x`, TOKEN.toUpperCase()])
      expect(await verdict(at('images', 'a.img'), { token })).toBe('REQUEST_INVALID');
  });

  it('are let go when their import is over, or nobody asks any more', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const isOpen = () => openFiles().length === 1;
    await serve(at('images', 'a.img'));
    expect(isOpen()).toBe(true);
    subjects.get(`lariat.v1.node-file.n2.${TOKEN}`)?.({ isOver: true });
    await vi.waitUntil(() => !isOpen(), { timeout: 5_000 });
    await serve(at('images', 'a.img'));
    vi.advanceTimersByTime(IDLE_MS);
    await vi.waitUntil(() => !isOpen(), { timeout: 5_000 });
    expect(subjects.size).toBe(0);
  });

  it('are not opened by an agent that stops, or has no connection yet', async () => {
    await serve(at('images', 'a.img'));
    await files.close();
    expect(subjects.size).toBe(0);
    expect(openFiles()).toEqual([]);
    expect(await verdict(at('images', 'a.img'))).toBe('NATS_UNAVAILABLE');
    files = new ServedFiles('n2', [at('images')], silentLog);
    expect(await verdict(at('images', 'a.img'))).toBe('NATS_UNAVAILABLE');
  });
});
