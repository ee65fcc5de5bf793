import {
  appendFileSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MAX_PIECE_BYTES } from '@lariat/contracts';
import { type LariatError, toLariatError } from '@lariat/kernel';
import type { NatsConnection } from '@nats-io/nats-core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { decodeReply } from '../reply.js';
import { OpenedFile } from './opened-file.js';
import { type PiecesEnd, type ServedPieces, servePieces } from './serve-pieces.js';

const SUBJECT = 'lariat.v1.upload.0123456789abcdef';
const content = randomBytes(MAX_PIECE_BYTES + 1_000);

/** One who asks, over no network. */
class ImaginedLink {
  subject: string | undefined;
  private callback: ((error: null, message: object) => void) | undefined;

  readonly connection = {
    subscribe: (subject: string, { callback }: { callback: ImaginedLink['callback'] }) => {
      this.subject = subject;
      this.callback = callback;
      return {
        unsubscribe: () => {
          this.subject = undefined;
        },
      };
    },
  } as unknown as NatsConnection;

  tell(body: string, respond: (data: Uint8Array, more?: object) => void = () => undefined): void {
    this.callback?.(null, { data: new TextEncoder().encode(body), respond });
  }

  /** The bytes, or the error. */
  ask(asked: object | string): Promise<Uint8Array | LariatError> {
    return new Promise((resolve) => {
      this.tell(typeof asked === 'string' ? asked : JSON.stringify(asked), (data, more) => {
        if (more === undefined) return resolve(data);
        try {
          decodeReply(data);
        } catch (reason) {
          resolve(toLariatError(reason));
        }
      });
    });
  }
}

describe('a file that is served in pieces', () => {
  let folder: string;
  let path: string;
  let link: ImaginedLink;
  let served: ServedPieces;

  const begin = async (end?: PiecesEnd): Promise<void> => {
    served = servePieces(link.connection, SUBJECT, await OpenedFile.open(path), end);
  };

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'lariat-pieces-'));
    path = join(folder, 'a.img');
    writeFileSync(path, content);
    link = new ImaginedLink();
  });
  afterEach(async () => {
    vi.useRealTimers();
    await served.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('is given from wherever it is asked for, until it is closed', async () => {
    await begin();
    expect(link.subject).toBe(SUBJECT);
    const places = [
      { offsetBytes: 0, lengthBytes: MAX_PIECE_BYTES },
      { offsetBytes: MAX_PIECE_BYTES, lengthBytes: 1_000 },
      { offsetBytes: 5, lengthBytes: 1 },
    ];
    const pieces = await Promise.all(places.map((place) => link.ask(place)));
    for (const [at, { offsetBytes, lengthBytes }] of places.entries())
      expect(
        content.subarray(offsetBytes, offsetBytes + lengthBytes).equals(pieces[at] as Buffer),
      ).toBe(true);
    await served.close();
    expect(link.subject).toBeUndefined();
  });

  it('answers what is no request for a piece with an error, and goes on', async () => {
    await begin();
    for (const asked of [
      ...[{}, { offsetBytes: 0 }, { offsetBytes: -1, lengthBytes: 1 }, 'null', '7'],
      ...[
        { offsetBytes: 0.5, lengthBytes: 1 },
        { offsetBytes: 0, lengthBytes: '1' },
      ],
      ...[
        { offsetBytes: 0, lengthBytes: MAX_PIECE_BYTES + 1 },
        { offsetBytes: 0, lengthBytes: 0 },
      ],
    ])
      expect(await link.ask(asked)).toMatchObject({ code: 'REQUEST_INVALID' });
    const whole = JSON.stringify({ offsetBytes: 0, lengthBytes: 4 });
    for (let length = 0; length < whole.length; length += 1)
      expect(await link.ask(whole.slice(0, length))).toMatchObject({ code: 'REQUEST_MALFORMED' });
    expect(content.subarray(0, 4).equals((await link.ask(whole)) as Buffer)).toBe(true);
  });

  it.each<[string, (file: string) => void]>([
    ['grows', (file) => appendFileSync(file, 'more')],
    ['shrinks', (file) => writeFileSync(file, content.subarray(1))],
    ['is written to in place', (file) => writeFileSync(file, randomBytes(content.length))],
    [
      'is replaced by another of the same size and age',
      (file) => {
        const { atime, mtime } = statSync(file);
        writeFileSync(`${file}.new`, randomBytes(content.length));
        utimesSync(`${file}.new`, atime, mtime);
        renameSync(`${file}.new`, file);
      },
    ],
    ['is removed', (file) => rmSync(file)],
  ])('is given no further when it %s', async (_what, change) => {
    // A whole number of seconds: what puts a time back may not know its fractions.
    utimesSync(path, 1_000_000, 1_000_000);
    await begin();
    const piece = { offsetBytes: 0, lengthBytes: 100 };
    expect(await link.ask(piece)).toHaveLength(100);
    change(path);
    expect(await link.ask(piece)).toMatchObject({
      code: 'IMAGE_SOURCE_CHANGED',
      message: expect.stringContaining(path) as string,
    });
  });

  it('has no bytes past its end', async () => {
    await begin();
    const past = { offsetBytes: content.length - 1, lengthBytes: 2 };
    expect(await link.ask(past)).toMatchObject({ code: 'IMAGE_SOURCE_CHANGED' });
  });

  it('is over when that is told, or nobody asks for a while', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const onOver = vi.fn<() => void>();
    await begin({ idleMs: 1_000, onOver });
    for (let round = 0; round < 3; round += 1) {
      vi.advanceTimersByTime(900);
      await link.ask({ offsetBytes: 0, lengthBytes: 1 });
    }
    expect(onOver).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1_000);
    expect(onOver).toHaveBeenCalledTimes(1);
    link.tell('{"isOver":true}');
    // What comes after it is answered after it.
    await link.ask({ offsetBytes: 0, lengthBytes: 1 });
    expect(onOver).toHaveBeenCalledTimes(2);
    await served.close();
    vi.advanceTimersByTime(10_000);
    expect(onOver).toHaveBeenCalledTimes(2);
  });

  it('goes on after that for one who has set it no end', async () => {
    await begin();
    link.tell('{"isOver":true}');
    expect(await link.ask({ offsetBytes: 0, lengthBytes: 1 })).toHaveLength(1);
  });
});
