import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { readAll } from '../../testing/read-all.js';
import { PushedBytes, type PushSettings } from './pushed-bytes.js';

const CONTENT = randomBytes(100_003);
const pushed = (settings: Partial<PushSettings> = {}): PushedBytes =>
  new PushedBytes({
    totalBytes: null,
    maxBytes: 1_000_000,
    maxWaitingBytes: 10_000,
    idleTimeoutMs: 10_000,
    ...settings,
  });

describe('an upload', () => {
  it.each([1000, 4096, 99_999, 200_000])('in chunks of %i bytes is what was sent', async (size) => {
    const upload = pushed();
    const all = readAll(upload, 777);
    for (let at = 0; at < CONTENT.length;)
      at = await upload.push(at, CONTENT.subarray(at, at + size));
    upload.end(CONTENT.length);
    expect((await all).equals(CONTENT)).toBe(true);
  });

  it('takes chunks again, whole or in part, without taking them twice', async () => {
    const upload = pushed({ totalBytes: CONTENT.length, maxWaitingBytes: 1_000_000 });
    const send = (from: number, to: number): Promise<number> =>
      upload.push(from, CONTENT.subarray(from, to));
    expect(await send(0, 5000)).toBe(5000);
    expect(await send(0, 5000)).toBe(5000);
    expect(await send(4000, 6000)).toBe(6000);
    await expect(send(6001, 7000)).rejects.toMatchObject({
      code: 'REQUEST_INVALID',
      details: { receivedBytes: 6000 },
    });
    await send(6000, CONTENT.length);
    expect((await readAll(upload)).equals(CONTENT)).toBe(true);
  });

  it('keeps who sends waiting while nobody reads', async () => {
    const upload = pushed();
    await upload.push(0, CONTENT.subarray(0, 10_000));
    let isTaken = false;
    const next = upload.push(10_000, CONTENT.subarray(10_000, 20_000)).then(() => {
      isTaken = true;
    });
    await upload.read(Buffer.alloc(9999));
    await new Promise((resolve) => setImmediate(resolve));
    expect(isTaken).toBe(false);
    await upload.read(Buffer.alloc(1));
    await next;
    expect(isTaken).toBe(true);
  });

  it('of more than was told, or is allowed, is refused', async () => {
    await expect(pushed({ totalBytes: 10 }).push(0, Buffer.alloc(11))).rejects.toMatchObject({
      code: 'REQUEST_INVALID',
    });
    await expect(pushed({ maxBytes: 10 }).push(0, Buffer.alloc(11))).rejects.toMatchObject({
      code: 'IMAGE_TOO_LARGE',
    });
    const upload = pushed();
    await upload.push(0, Buffer.alloc(10));
    expect(() => upload.end(11)).toThrow('go on there');
    upload.end(10);
    await expect(upload.push(10, Buffer.alloc(1))).rejects.toThrow('more was uploaded');
  });

  it('that stops is given up', async () => {
    const upload = pushed({ idleTimeoutMs: 10 });
    await upload.push(0, Buffer.alloc(10));
    const reading = readAll(upload);
    await expect(reading).rejects.toMatchObject({ code: 'IMAGE_SOURCE_TOO_SLOW' });
    await expect(upload.push(10, Buffer.alloc(1))).rejects.toMatchObject({
      code: 'IMAGE_SOURCE_TOO_SLOW',
    });
  });

  it('ends for both sides when the import is cancelled', async () => {
    const upload = pushed({ maxWaitingBytes: 0 });
    const stop = new AbortController();
    const reader = await upload.open(stop.signal);
    const sending = upload.push(0, Buffer.alloc(10));
    stop.abort();
    await expect(sending).rejects.toMatchObject({ code: 'OPERATION_CANCELLED' });
    await expect(reader.read(Buffer.alloc(1))).rejects.toMatchObject({
      code: 'OPERATION_CANCELLED',
    });
  });
});
