import { randomBytes } from 'node:crypto';
import { type FileVersion, type UploadPieceRequest, lariatError } from '@lariat/contracts';
import { KIB } from '@lariat/kernel';
import { NoRespondersError } from '@nats-io/nats-core';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Import } from '../../ports/importer.port.js';
import { readAll } from '../../testing/read-all.js';
import { NodeFileSource } from './node-file-source.js';
import { SILENT_FOR_MS } from './piece-reader.js';

const content = randomBytes(2_500 * KIB + 7);
const version: FileVersion = { sizeBytes: content.length, mtimeNs: '12', inode: '34' };
type Served = Parameters<Import['serveFile']>;

/** A node whose agent answers for a file while it is told to, until it dies. */
class ImaginedAgent {
  readonly served: Served[] = [];
  readonly asked: number[] = [];
  readonly published: string[] = [];
  private tokens = new Set<string>();
  onServe: () => Promise<void> = () => Promise.resolve();
  onPiece: (nth: number) => void = () => undefined;

  die(): void {
    this.tokens.clear();
  }

  readonly serveFile: Import['serveFile'] = async (...told) => {
    this.served.push(told);
    await this.onServe();
    this.tokens.add(`lariat.v1.node-file.n2.${told[1].token}`);
    return version;
  };

  readonly connection = {
    info: { max_payload: 1024 * KIB },
    request: async (subject: string, body: string) => {
      await Promise.resolve();
      const { offsetBytes, lengthBytes } = JSON.parse(body) as UploadPieceRequest;
      this.onPiece(this.asked.length);
      if (!this.tokens.has(subject)) throw new NoRespondersError(subject);
      this.asked.push(offsetBytes);
      return { data: content.subarray(offsetBytes, offsetBytes + lengthBytes) };
    },
    publish: (subject: string, body: string) => this.published.push(`${subject} ${body}`),
  } as unknown as ConstructorParameters<typeof NodeFileSource>[0];

  async read(maxBytes = 1e9, signal = new AbortController().signal): Promise<Buffer> {
    const file = { node: 'n2', path: '/srv/a.img' };
    const source = new NodeFileSource(this.connection, file, this.serveFile, maxBytes);
    const reader = await source.open(signal);
    try {
      return await readAll(reader);
    } finally {
      await reader.close();
      await reader.close();
    }
  }
}

describe('a file of a node', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it('comes whole from its agent, which is told when that is over', async () => {
    const agent = new ImaginedAgent();
    expect((await agent.read()).equals(content)).toBe(true);
    expect(agent.served).toHaveLength(1);
    const [node, asked] = agent.served[0] ?? [];
    expect(node).toBe('n2');
    expect(asked).toMatchObject({ path: '/srv/a.img', expected: null });
    const token = asked?.token;
    expect(token).toMatch(/^[0-9a-f]{32}$/);
    expect(agent.published).toEqual([`lariat.v1.node-file.n2.${token} {"isOver":true}`]);
    // No other import can be given it by mistake.
    await agent.read();
    expect(agent.served[1]?.[1].token).not.toBe(token);
  });

  it('goes on where it was when its agent was restarted, if the file is the same', async () => {
    const agent = new ImaginedAgent();
    agent.onPiece = (nth) => {
      if (nth === 3 && agent.served.length === 1) agent.die();
    };
    expect((await agent.read()).equals(content)).toBe(true);
    expect(agent.asked.toSorted((a, b) => a - b)).toEqual(
      [0, 1, 2, 3, 4].map((at) => at * 512 * KIB),
    );
    // Once for all the pieces that nobody answered.
    expect(agent.served).toHaveLength(2);
    expect(agent.served[1]?.[1]).toEqual({ ...agent.served[0]?.[1], expected: version });
  });

  it('ends when it is another file after the restart, or its node is gone', async () => {
    for (const code of ['IMAGE_SOURCE_CHANGED', 'NODE_NOT_READY', 'IMAGE_FILES_CLOSED'] as const) {
      const agent = new ImaginedAgent();
      agent.onPiece = (nth) => {
        if (nth === 3) agent.die();
      };
      agent.onServe = () =>
        agent.served.length > 1 ? Promise.reject(lariatError(code, 'no')) : Promise.resolve();
      await expect(agent.read()).rejects.toMatchObject({ code });
      expect(agent.published).toHaveLength(1);
    }
  });

  it('ends with what to do when its node does not answer for long, before or on the way', async () => {
    for (const silentAfter of [0, 1]) {
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
      const agent = new ImaginedAgent();
      agent.onPiece = (nth) => {
        if (nth === 3) agent.die();
      };
      agent.onServe = async () => {
        if (agent.served.length <= silentAfter) return;
        await new Promise((resolve) => {
          setTimeout(resolve, SILENT_FOR_MS / 3);
        });
        throw lariatError('DEADLINE_EXCEEDED', 'no answer');
      };
      const told = agent.read().catch((reason: unknown) => reason);
      await vi.advanceTimersByTimeAsync(2 * SILENT_FOR_MS);
      expect(await told).toMatchObject({
        code: 'IMAGE_SOURCE_UNAVAILABLE',
        message: expect.stringContaining('lariat node get n2') as string,
      });
      vi.useRealTimers();
    }
  });

  it('that is too large is not asked for, and let go', async () => {
    const agent = new ImaginedAgent();
    await expect(agent.read(content.length - 1)).rejects.toMatchObject({
      code: 'IMAGE_TOO_LARGE',
    });
    expect(agent.asked).toEqual([]);
    expect(agent.published).toHaveLength(1);
  });

  it('is waited for no longer than the import is wanted', async () => {
    for (const whenServed of [1, 2]) {
      const agent = new ImaginedAgent();
      const cancel = new AbortController();
      agent.onPiece = (nth) => {
        if (nth === 3) agent.die();
      };
      agent.onServe = () => {
        if (agent.served.length < whenServed) return Promise.resolve();
        setImmediate(() => cancel.abort());
        return new Promise(() => undefined);
      };
      await expect(agent.read(1e9, cancel.signal)).rejects.toMatchObject({
        code: 'OPERATION_CANCELLED',
      });
    }
  });
});
