import { randomBytes } from 'node:crypto';
import { type UploadPieceRequest, lariatError } from '@lariat/contracts';
import { KIB, type LariatError } from '@lariat/kernel';
import { encodeError } from '@lariat/messaging';
import { NoRespondersError } from '@nats-io/nats-core';
import { describe, expect, it } from 'vitest';
import { readAll } from '../../testing/read-all.js';
import { UploadSource } from './upload-source.js';

const content = randomBytes(2_500 * KIB + 7);

describe('an upload', () => {
  function source(
    answer: (piece: UploadPieceRequest, nth: number) => Buffer | LariatError,
    maxBytes = 1e9,
  ): {
    readonly upload: UploadSource;
    readonly asked: UploadPieceRequest[];
    readonly most: () => number;
  } {
    const asked: UploadPieceRequest[] = [];
    let [open, most] = [0, 0];
    const request = async (subject: string, body: string) => {
      expect(subject).toBe('lariat.v1.upload.0123456789abcdef');
      const piece = JSON.parse(body) as UploadPieceRequest;
      const nth = asked.push(piece) - 1;
      open += 1;
      most = Math.max(most, open);
      await new Promise((resolve) => setImmediate(resolve));
      open -= 1;
      const given = answer(piece, nth);
      if (Buffer.isBuffer(given)) return { data: given };
      const error = encodeError(given, undefined);
      return { data: error.body, headers: error.headers };
    };
    const connection = { request, info: { max_payload: 1024 * KIB } } as never;
    const upload = { fileName: 'a.img', sizeBytes: content.length, token: '0123456789abcdef' };
    return { upload: new UploadSource(connection, upload, maxBytes), asked, most: () => most };
  }

  const pieceOf = ({ offsetBytes, lengthBytes }: UploadPieceRequest): Buffer =>
    content.subarray(offsetBytes, offsetBytes + lengthBytes);
  const read = async (upload: UploadSource, signal = new AbortController().signal) => {
    const reader = await upload.open(signal);
    try {
      return await readAll(reader);
    } finally {
      await reader.close();
    }
  };

  it('is asked for in order, a few pieces ahead, and comes whole', async () => {
    const { upload, asked, most } = source(pieceOf);
    expect((await read(upload)).equals(content)).toBe(true);
    expect(asked.map(({ offsetBytes }) => offsetBytes)).toEqual(
      [0, 1, 2, 3, 4].map((at) => at * 512 * KIB),
    );
    expect(most()).toBeGreaterThan(1);
    expect(most()).toBeLessThanOrEqual(4);
  });

  it('goes on when its sender was gone for a moment', async () => {
    const { upload } = source((piece, nth) => {
      if (nth === 2) throw new NoRespondersError('lariat.v1.upload.x');
      return pieceOf(piece);
    });
    expect((await read(upload)).equals(content)).toBe(true);
  });

  it('ends when the file is another one by now, or shorter', async () => {
    const changed = source(() => lariatError('IMAGE_SOURCE_CHANGED', 'the file changed'));
    await expect(read(changed.upload)).rejects.toMatchObject({
      ...{
        code: 'IMAGE_SOURCE_CHANGED',
        message: expect.stringContaining('the file changed') as string,
      },
    });
    const short = source((piece) => pieceOf(piece).subarray(1));
    await expect(read(short.upload)).rejects.toMatchObject({ code: 'IMAGE_SOURCE_CHANGED' });
  });

  it('is refused when it is too large, before a byte is asked for', async () => {
    const { upload, asked } = source(pieceOf, content.length - 1);
    await expect(read(upload)).rejects.toMatchObject({ code: 'IMAGE_TOO_LARGE' });
    expect(asked).toEqual([]);
  });

  it('ends at once when the import is cancelled, whether anybody answers or not', async () => {
    const cancel = new AbortController();
    const { upload } = source((piece, nth) => {
      if (nth === 2) cancel.abort();
      if (nth >= 2) throw new NoRespondersError('lariat.v1.upload.x');
      return pieceOf(piece);
    });
    const reading = read(upload, cancel.signal);
    await expect(reading).rejects.toMatchObject({ code: 'OPERATION_CANCELLED' });
  });
});
