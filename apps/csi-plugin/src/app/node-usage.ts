import { delay } from '@lariat/kernel';
import { whyNotDevice } from '../domain/device.js';
import { luksResize } from '../domain/encryption-commands.js';
import { grow } from '../domain/file-system-commands.js';
import { requirePassphrase } from '../domain/passphrase.js';
import { Refusal, requireText } from '../domain/refusal.js';
import { parseRange } from '../domain/size-range.js';
import { conditionOf } from '../domain/volume-answer.js';
import type { HandlersOf, NodeCalls } from '../grpc/messages.js';
import type { Staging } from '../ports/stagings.port.js';
import { awaitDevice } from './await-device.js';
import { findVolume } from './find-volume.js';
import type { StageParts } from './node-stage.js';

const POLL_MS = 200;

export function usageCalls(
  parts: StageParts,
): HandlersOf<Pick<NodeCalls, 'NodeGetVolumeStats' | 'NodeExpandVolume'>> {
  const { cluster, machine, node, stagings } = parts;

  const stagedAt = async (volume: string, path: string): Promise<Staging> => {
    requireText(volume, 'volume_id');
    requireText(path, 'volume_path');
    const staging = await stagings.get(volume);
    const isThere =
      staging?.stagingPath === path || staging?.targets.some((target) => target.path === path);
    if (staging !== undefined && isThere === true) return staging;
    throw new Refusal('NOT_FOUND', `Volume ${volume} is not used at ${path} on this node.`);
  };

  return {
    NodeGetVolumeStats: async ({ volumeId, volumePath }, scope) => {
      const staging = await stagedAt(volumeId, volumePath);
      const work = { volume: volumeId, scope };
      const volume = await findVolume(cluster, volumeId, scope);
      const condition =
        volume === undefined
          ? { abnormal: true, message: 'the volume is gone' }
          : conditionOf(volume);
      if (staging.access === 'block') {
        const device = await machine.host.describe(staging.device);
        const isGone = device === undefined || whyNotDevice(device, staging) !== undefined;
        return {
          usage: isGone
            ? []
            : [{ unit: 'BYTES', total: String(device.sizeBytes), available: '0', used: '0' }],
          volumeCondition: isGone
            ? { abnormal: true, message: `device ${staging.device} is gone` }
            : condition,
        };
      }
      const usage = await machine.usage(work, volumePath);
      const isMounted = (await machine.mountAt(volumePath))?.majorMinor === staging.majorMinor;
      if (usage === undefined || !isMounted || !(await machine.isAlive(work, volumePath))) {
        const message = `what is mounted at ${volumePath} does not answer`;
        return { usage: [], volumeCondition: { abnormal: true, message } };
      }
      const shown = (unit: 'BYTES' | 'INODES', of: typeof usage.bytes) => ({
        ...{ unit, total: String(of.total) },
        ...{ available: String(of.available), used: String(of.used) },
      });
      return {
        usage: [shown('BYTES', usage.bytes), shown('INODES', usage.inodes)],
        volumeCondition: condition,
      };
    },

    NodeExpandVolume: async ({ volumeId, volumePath, capacityRange, secrets }, scope) => {
      const staging = await stagedAt(volumeId, volumePath);
      const { requiredBytes } = parseRange(capacityRange);
      const work = { volume: volumeId, scope };
      for (;;) {
        const { device } = await awaitDevice(
          { cluster, host: machine.host, node },
          volumeId,
          scope,
        );
        if (BigInt(device.sizeBytes) >= requiredBytes) {
          if (staging.mapping !== undefined) {
            const passphrase = requirePassphrase(secrets, volumeId);
            const resize = luksResize(staging.mapping, passphrase);
            await machine.do(work, resize, 'let what is open fill its device', 'long');
          }
          const mount = await machine.mountAt(staging.stagingPath);
          const growing =
            mount === undefined || staging.access === 'block'
              ? undefined
              : grow(mount.fsType, staging.device, staging.stagingPath);
          if (growing !== undefined)
            await machine.do(work, growing, 'let the file system fill its device', 'long');
          return { capacityBytes: String(device.sizeBytes) };
        }
        if (scope.leftMs() <= POLL_MS)
          throw new Refusal(
            'UNAVAILABLE',
            `${device.path} has ${device.sizeBytes} bytes yet, not ${requiredBytes}: expand the volume, or ask again.`,
          );
        await delay(POLL_MS, scope.signal);
      }
    },
  };
}
