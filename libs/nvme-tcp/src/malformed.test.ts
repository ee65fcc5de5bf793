import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { encodeConnectData, makeConnect } from './nvme/fabrics.js';
import { makeCommand, readCompletion, setCommandId, setSgl, SglType } from './nvme/entry.js';
import { Status, statusCode } from './nvme/status.js';
import { FatalErrorStatus, PduType } from './pdu/constants.js';
import { capsuleEntry, readTermination, readTransferHeader } from './pdu/pdu.js';
import {
  Cleanup,
  connectHost,
  eventually,
  HOST_NQN,
  onlyNamespace,
  RawHost,
  Relay,
  startTarget,
  SUBSYSTEM_NQN,
} from './test-support.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

async function terminated(host: RawHost): Promise<number> {
  const { status } = readTermination((await host.next(PduType.c2hTermReq)).header);
  await eventually('the end of the connection', () => host.closed);
  return status;
}

function connectAdmin(host: RawHost, commandId = 0): void {
  const entry = makeConnect({
    recordFormat: 0,
    queueId: 0,
    queueSize: 7,
    attributes: 0,
    keepAliveTimeoutMs: 0,
  });
  setCommandId(entry, commandId);
  setSgl(entry, SglType.inCapsule, 1024);
  host.encoder.capsuleCommand(
    entry,
    encodeConnectData({
      hostId: Buffer.alloc(16, 3),
      controllerId: 0xffff,
      subsystemNqn: SUBSYSTEM_NQN,
      hostNqn: HOST_NQN,
    }),
  );
}

async function completionOf(host: RawHost): Promise<number> {
  return statusCode(
    readCompletion(capsuleEntry((await host.next(PduType.capsuleResp)).header)).status,
  );
}

function transferCommand(opcode: number, commandId: number, length: number): Buffer {
  const entry = makeCommand(opcode, 0);
  setCommandId(entry, commandId);
  setSgl(entry, SglType.transport, length);
  return entry;
}

describe('a malformed PDU', () => {
  it('ends the connection with the status that the specification gives it', async () => {
    const { address } = await startTarget(cleanup);
    const cases: readonly (readonly [string, (host: RawHost) => Promise<void> | void, number])[] = [
      [
        'no ICReq first',
        (host) => host.encoder.capsuleCommand(makeCommand(6, 0)),
        FatalErrorStatus.pduSequenceError,
      ],
      [
        'data before ICReq',
        (host) => host.encoder.hostToControllerData(0, 0, 0, Buffer.alloc(64), true),
        FatalErrorStatus.pduSequenceError,
      ],
      [
        'an unknown type',
        (host) => host.write(Buffer.alloc(8, 0x0f)),
        FatalErrorStatus.invalidHeaderField,
      ],
      [
        'an unknown format version',
        (host) =>
          host.encoder.initializeConnection(PduType.icReq, {
            format: 9,
            alignment: 0,
            headerDigest: false,
            dataDigest: false,
            limit: 0,
          }),
        FatalErrorStatus.unsupportedParameter,
      ],
      [
        'data that nobody asked for',
        async (host) => {
          await host.initialize();
          host.encoder.hostToControllerData(0, 5, 0, Buffer.alloc(64), true);
        },
        FatalErrorStatus.invalidHeaderField,
      ],
      [
        'a command beyond the queue',
        async (host) => {
          await host.initialize();
          host.encoder.capsuleCommand(transferCommand(0x09, 0, 4096));
          host.encoder.capsuleCommand(transferCommand(0x09, 1, 4096));
        },
        FatalErrorStatus.pduSequenceError,
      ],
      [
        'data at the wrong offset',
        async (host) => {
          await host.initialize();
          host.encoder.capsuleCommand(transferCommand(0x09, 4, 4096));
          const transfer = readTransferHeader((await host.next(PduType.r2t)).header);
          expect(transfer).toEqual({
            commandId: 4,
            transferTag: transfer.transferTag,
            offset: 0,
            length: 4096,
          });
          host.encoder.hostToControllerData(4, transfer.transferTag, 512, Buffer.alloc(64), false);
        },
        FatalErrorStatus.dataTransferOutOfRange,
      ],
      [
        'a last PDU before all data has come',
        async (host) => {
          await host.initialize();
          host.encoder.capsuleCommand(transferCommand(0x09, 4, 4096));
          const { transferTag } = readTransferHeader((await host.next(PduType.r2t)).header);
          host.encoder.hostToControllerData(4, transferTag, 0, Buffer.alloc(64), true);
        },
        FatalErrorStatus.invalidHeaderField,
      ],
    ];
    for (const [what, misbehave, status] of cases) {
      const host = await RawHost.connect(cleanup, address);
      await misbehave(host);
      expect([what, await terminated(host)]).toEqual([what, status]);
    }
  });

  it('leaves the answer to a valid command of wrong content to its completion', async () => {
    const { address } = await startTarget(cleanup);
    const host = await RawHost.connect(cleanup, address);
    await host.initialize();
    host.encoder.capsuleCommand(transferCommand(0x06, 0, 4096));
    expect(await completionOf(host)).toBe(Status.commandSequenceError);
    const bad = transferCommand(0x06, 1, 4096);
    setSgl(bad, 0x40, 4096);
    host.encoder.capsuleCommand(bad);
    expect(await completionOf(host)).toBe(Status.sglDescriptorTypeInvalid);
    connectAdmin(host, 2);
    expect(await completionOf(host)).toBe(Status.success);
    // Two with one id: the first waits for its data.
    host.encoder.capsuleCommand(transferCommand(0x09, 3, 4096));
    host.encoder.capsuleCommand(transferCommand(0x09, 3, 4096));
    expect(await completionOf(host)).toBe(Status.commandIdConflict);
    expect(host.closed).toBe(false);
  });

  it('never disturbs other connections, whatever the bytes are', async () => {
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
            connectAdmin(host);
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

  it('from a controller ends the connection of the host, which connects anew', async () => {
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
