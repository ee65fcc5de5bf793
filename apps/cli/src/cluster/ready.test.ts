import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LineTail, parseReadyLine, waitForReadyLine } from './ready.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lariat-ready-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the ready line', () => {
  it('is a JSON object with ready true, and nothing else', () => {
    expect(parseReadyLine('{"ready":true,"node":"n1"}')).toEqual({ ready: true, node: 'n1' });
    expect(parseReadyLine('{"ready":false}')).toBeUndefined();
    expect(parseReadyLine('{"ready":true')).toBeUndefined();
    expect(parseReadyLine('ready')).toBeUndefined();
    expect(parseReadyLine('{"message":"not \\"ready\\" yet"}')).toBeUndefined();
  });

  it('is found wherever the file is cut while it grows', () => {
    const text = 'a log line\n{"ready":true}\n';
    for (let cut = 0; cut <= text.length; cut += 1) {
      const path = join(folder, `log-${cut}`);
      writeFileSync(path, text.slice(0, cut));
      const tail = new LineTail(path, 0);
      const first = tail.read();
      appendFileSync(path, text.slice(cut));
      expect([...first, ...tail.read()]).toEqual(['a log line', '{"ready":true}']);
    }
  });

  it('of an earlier start does not count', async () => {
    const path = join(folder, 'log');
    const old = '{"ready":true,"run":1}\n';
    writeFileSync(path, old);
    const found = waitForReadyLine(path, old.length, new AbortController().signal);
    appendFileSync(path, '{"ready":true,"run":2}\n');
    expect(await found).toEqual({ ready: true, run: 2 });
  });

  it('is not waited for once the process has ended', async () => {
    const path = join(folder, 'log');
    writeFileSync(path, '');
    const over = new AbortController();
    const found = waitForReadyLine(path, 0, over.signal);
    over.abort();
    expect(await found).toBeUndefined();
  });
});
