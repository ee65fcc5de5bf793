import type { VolumeView } from '@lariat/contracts';
import { delay } from '@lariat/kernel';
import { type DeviceFacts, whyNotDevice } from '../domain/device.js';
import { Refusal } from '../domain/refusal.js';
import type { CallScope } from '../grpc/messages.js';
import type { ClusterPort } from '../ports/cluster.port.js';
import type { HostPort } from '../ports/host.port.js';
import { requireVolume } from './find-volume.js';

export interface ReadyDevice {
  readonly volume: VolumeView;
  readonly epoch: number;
  readonly device: DeviceFacts;
}

const POLL_MS = 200;

/** The device of the volume's attachment on this node, once it is there and of its full size: waited for, not failed for. */
export async function awaitDevice(
  { cluster, host, node }: { cluster: ClusterPort; host: HostPort; node: string },
  volumeId: string,
  scope: CallScope,
): Promise<ReadyDevice> {
  for (;;) {
    const volume = await requireVolume(cluster, volumeId, scope);
    const found = await lookFor(host, node, volume);
    if (typeof found !== 'string') return found;
    if (scope.leftMs() <= POLL_MS || scope.signal.aborted) {
      throw new Refusal('UNAVAILABLE', `Volume '${volume.name}' is not ready here: ${found}.`);
    }
    await delay(POLL_MS, scope.signal);
  }
}

async function lookFor(
  host: HostPort,
  node: string,
  volume: VolumeView,
): Promise<ReadyDevice | string> {
  const { attachment, state, id, sizeBytes } = volume;
  if (attachment === null || attachment.node !== node) {
    throw new Refusal(
      'FAILED_PRECONDITION',
      `Volume '${volume.name}' is not published on node '${node}': publish it first.`,
    );
  }
  const { epoch, endpoint, frontend } = attachment;
  if (state !== 'attached' || endpoint === null) return `it is ${state}`;
  if (!endpoint.startsWith('/')) {
    throw new Refusal(
      'FAILED_PRECONDITION',
      `Volume '${volume.name}' is used by frontend '${frontend}' (${endpoint}), which makes no block device: publish it with kernel or loop.`,
    );
  }
  const device = await host.describe(endpoint);
  if (device === undefined) return `there is no device ${endpoint}`;
  const why = whyNotDevice(device, { volume: id, epoch });
  if (why !== undefined) return why;
  if (device.sizeBytes < sizeBytes)
    return `${device.path} has ${device.sizeBytes} of ${sizeBytes} bytes`;
  return { volume, epoch, device };
}
