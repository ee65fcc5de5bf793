import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { DYNAMIC_CONTROLLER_ID } from './nvme/fabrics.js';
import { PduType } from './pdu/constants.js';
import { sendConnect } from './test-staged-host.js';
import {
  Cleanup,
  connectHost,
  eventually,
  onlyNamespace,
  RawHost,
  Relay,
  startTarget,
} from './test-support.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

describe('random and broken bytes', () => {
  it('never disturb other connections, whatever the bytes are', async () => {
    const { address, subsystem } = await startTarget(cleanup);
    const controller = await connectHost(cleanup, address);
    const namespace = onlyNamespace(controller);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('raw', 'initialized', 'connected'),
        fc.array(
          fc.oneof(
            fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
            // A valid common header of a command or data, with random content.
            fc
              .tuple(fc.constantFrom(4, 6), fc.uint8Array({ minLength: 72, maxLength: 200 }))
              .map(([type, bytes]) => {
                const pdu = Buffer.from(bytes);
                const headerLength = type === 4 ? 72 : 24;
                pdu.set([type, 0, headerLength, headerLength]);
                pdu.writeUInt32LE(pdu.length, 4);
                return pdu;
              }),
          ),
          { maxLength: 6 },
        ),
        async (stage, chunks) => {
          const host = await RawHost.connect(cleanup, address);
          if (stage !== 'raw') await host.initialize();
          if (stage === 'connected') {
            sendConnect(host, 0, DYNAMIC_CONTROLLER_ID);
            await host.next(PduType.capsuleResp);
          }
          for (const chunk of chunks) host.write(chunk);
          const data = Buffer.alloc(4096, chunks.length);
          await namespace.write(0, data);
          expect((await namespace.read(0, 4096)).equals(data)).toBe(true);
          host.destroy();
        },
      ),
      { numRuns: 150 },
    );
    expect(controller.state).toBe('connected');
    await eventually('only the well-behaved host', () => subsystem.controllers().length === 1);
  }, 30_000);

  it('from a controller end the connection of the host, which connects anew', async () => {
    const { address } = await startTarget(cleanup);
    const relay = new Relay(() => address);
    const controller = await connectHost(cleanup, await relay.start(cleanup));
    let broken = 0;
    relay.toHost = (chunk) => {
      if (broken > 0) return chunk;
      broken += 1;
      return Buffer.alloc(32, 0xee);
    };
    expect(await onlyNamespace(controller).read(0, 512)).toHaveLength(512);
    expect(broken).toBe(1);
  });
});
