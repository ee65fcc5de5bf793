import { setTimeout as sleep } from 'node:timers/promises';
import type { AsyncNotice } from '../nvme/async-event.js';
import { readNotice } from '../nvme/async-event.js';
import {
  type Capabilities,
  ControllerConfiguration,
  ControllerStatus,
  readCapabilities,
} from '../nvme/controller-properties.js';
import { type Completion, makeCommand } from '../nvme/entry.js';
import {
  type ConnectCommand,
  type ConnectData,
  encodeConnectData,
  makeConnect,
  makePropertyGet,
  makePropertySet,
  Property,
} from '../nvme/fabrics.js';
import { IDENTIFY_LENGTH } from '../nvme/identify-controller.js';
import { AdminOpcode } from '../nvme/opcodes.js';
import { Status } from '../nvme/status.js';
import { LinkError, NvmeCommandError } from './host-error.js';
import type { QueuePair } from './queue-pair.js';

/** How often CSTS is read while the controller gets ready or shuts down. */
const STATUS_POLL_MS = 5;

const NSID_ALL = 0xffff_ffff;

/** One command on a queue, as a promise; rejects with NvmeCommandError or with the reason of the lost link. */
export function execute(
  queue: QueuePair,
  name: string,
  entry: Buffer,
  data?: Buffer,
  readInto?: Buffer,
): Promise<Completion> {
  return new Promise((resolve, reject) => {
    queue.submit({
      entry,
      data,
      readInto,
      completed: (completion) => {
        if (completion.status === Status.success) resolve(completion);
        else reject(new NvmeCommandError(name, completion.status, completion.dword0));
      },
      lost: reject,
    });
  });
}

/** Connect, on the admin queue or an I/O queue; the result is the controller id. */
export async function connectQueue(
  queue: QueuePair,
  command: ConnectCommand,
  data: ConnectData,
): Promise<number> {
  const completion = await execute(queue, 'Connect', makeConnect(command), encodeConnectData(data));
  return completion.dword0 & 0xffff;
}

/** The admin commands that a host needs. */
export class AdminQueue {
  readonly queue: QueuePair;

  constructor(queue: QueuePair) {
    this.queue = queue;
  }

  async capabilities(): Promise<Capabilities> {
    const { dword0 } = await execute(
      this.queue,
      'Property Get CAP',
      makePropertyGet(Property.capabilities, 8),
    );
    return readCapabilities(dword0);
  }

  async enable(readyTimeoutMs: number): Promise<void> {
    await this.setConfiguration(
      ControllerConfiguration.enable | ControllerConfiguration.entrySizes,
    );
    await this.waitForStatus(ControllerStatus.ready, ControllerStatus.ready, readyTimeoutMs);
  }

  /** CC.SHN: the controller ends its I/O queues; resolves when their last command has ended. */
  async shutDown(timeoutMs: number): Promise<void> {
    await this.setConfiguration(
      ControllerConfiguration.enable |
        ControllerConfiguration.entrySizes |
        ControllerConfiguration.shutdownNormal,
    );
    await this.waitForStatus(
      ControllerStatus.shutdownMask,
      ControllerStatus.shutdownComplete,
      timeoutMs,
    );
  }

  async identify(cns: number, nsid: number): Promise<Buffer> {
    const data = Buffer.alloc(IDENTIFY_LENGTH);
    await execute(
      this.queue,
      `Identify ${cns}`,
      makeCommand(AdminOpcode.identify, nsid, [cns]),
      undefined,
      data,
    );
    return data;
  }

  /** `length` is a multiple of 4. Reading a page lets the next event of its kind come. */
  async logPage(logPage: number, length: number, specific = 0): Promise<Buffer> {
    const dwords = length / 4 - 1;
    const entry = makeCommand(AdminOpcode.getLogPage, NSID_ALL, [
      logPage | (specific << 8) | ((dwords & 0xffff) << 16),
      dwords >>> 16,
    ]);
    const data = Buffer.alloc(length);
    await execute(this.queue, `Get Log Page ${logPage}`, entry, undefined, data);
    return data;
  }

  async setFeature(feature: number, value: number): Promise<number> {
    const entry = makeCommand(AdminOpcode.setFeatures, 0, [feature, value]);
    return (await execute(this.queue, `Set Features ${feature}`, entry)).dword0;
  }

  async keepAlive(): Promise<void> {
    await execute(this.queue, 'Keep Alive', makeCommand(AdminOpcode.keepAlive, 0));
  }

  /** Keeps one Asynchronous Event Request outstanding until the link ends or the controller refuses it. */
  listen(onNotice: (notice: AsyncNotice) => void): void {
    const request = (): void =>
      this.queue.submit({
        entry: makeCommand(AdminOpcode.asyncEventRequest, 0),
        completed: (completion) => {
          if (completion.status !== Status.success) return;
          const notice = readNotice(completion.dword0);
          request();
          if (notice !== undefined) onNotice(notice);
        },
        // The owner of the queue hears of the loss from the queue itself.
        lost: () => undefined,
      });
    request();
  }

  private async setConfiguration(value: number): Promise<void> {
    await execute(this.queue, 'Property Set CC', makePropertySet(Property.configuration, value));
  }

  private async waitForStatus(mask: number, wanted: number, timeoutMs: number): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    for (;;) {
      const { dword0 } = await execute(
        this.queue,
        'Property Get CSTS',
        makePropertyGet(Property.status, 4),
      );
      if ((dword0 & mask) === wanted) return;
      if ((dword0 & ControllerStatus.fatal) !== 0)
        throw new LinkError('the controller reports a fatal status');
      if (performance.now() >= deadlineMs)
        throw new LinkError(`CSTS is ${dword0} after ${timeoutMs} ms`);
      await sleep(STATUS_POLL_MS);
    }
  }
}
