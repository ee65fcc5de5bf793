import {
  DEFAULT_REBUILD_CONTROL,
  type VolumeChange,
  type VolumeRecord,
  lariatError,
} from '@lariat/contracts';
import type { MessageContext } from '@lariat/messaging';
import { beforeEach, describe, expect, it } from 'vitest';
import { attachedVolume, replicaOn } from '../domain/volume.test-support.js';
import type { ReplicaService } from '../app-tokens.js';
import { ReplicaController } from './replica.controller.js';

const VOLUME = attachedVolume({
  replicaCount: 2,
  state: 'detached',
  attachment: null,
  replicas: [
    replicaOn('r1', 'n1', { disk: 'disk-n1' }),
    replicaOn('r2', 'n2', { disk: 'disk-n2', mode: 'ERR', state: 'faulted', faultedAtMs: 0 }),
  ],
});

const OPERATION = {
  state: 'running',
  stepIndex: 0,
  stepSinceMs: 0,
  nextTryAtMs: null,
  startedAtMs: 0,
  endedAtMs: null,
  progress: null,
};

describe('requests about the rebuilds of a volume', () => {
  let record: VolumeRecord;
  let running: {
    readonly id: string;
    readonly kind: string;
    readonly stepName: string;
    readonly pointOfNoReturn: number;
  } | null;
  let isPast: boolean;
  let cancels: string[];
  let changes: { readonly operation: string; readonly changes: readonly VolumeChange[] }[];
  let controller: ReplicaController;

  beforeEach(() => {
    record = VOLUME;
    running = null;
    changes = [];
    cancels = [];
    isPast = false;
    controller = new ReplicaController({
      volumes: { find: () => Promise.resolve(record) },
      nodes: {
        list: () =>
          ['n1', 'n2', 'n3'].map((name) => ({
            name,
            state: 'ready',
            since: '1970-01-01T00:00:10.000Z',
            disks: [{ id: `disk-${name}`, name: 'd' }],
          })),
      },
      operations: {
        cached: () => (running === null ? undefined : { value: { ...OPERATION, ...running } }),
      },
      clock: { nowMs: () => 20_000 },
      runner: {
        known: () => Promise.resolve(undefined),
        start: () => Promise.reject(new Error('begun')),
      },
      client: {
        request: (name: string, body: (typeof changes)[number] & { operation: string }) => {
          if (name === 'operation.cancel') {
            if (isPast) return Promise.reject(lariatError('OPERATION_NOT_CANCELLABLE', 'past it'));
            cancels.push(body.operation);
          } else changes.push(body);
          return Promise.resolve(record);
        },
      },
    } as unknown as ReplicaService);
  });

  const context = { facts: { requestId: undefined, actor: 'a' } } as unknown as MessageContext;
  const runs = (kind: string, stepName: string, pointOfNoReturn = 9): void => {
    running = { id: 'op-1', kind, stepName, pointOfNoReturn };
    record = { ...VOLUME, operation: 'op-1' };
  };
  const asked = () =>
    changes.flatMap((body) => body.changes).map((change) => 'control' in change && change.control);

  it('write down what is asked, and nothing else', async () => {
    await controller.updateRebuild({ volume: 'v', mibPerSecond: null });
    await controller.updateRebuild({ volume: 'v', paused: false, mibPerSecond: 0 });
    expect(asked()).toEqual([{ mibPerSecond: null }, { paused: false, mibPerSecond: 0 }]);
  });

  it('cancel a rebuild together with those that would follow by themselves, and a move alone', async () => {
    runs('replica.rebuild', 'copy');
    await controller.updateRebuild({ volume: 'v', cancel: true });
    runs('replica.move', 'copy');
    await controller.updateRebuild({ volume: 'v', cancel: true });
    expect(asked()).toEqual([{ paused: true }, {}]);
    expect(cancels).toEqual(['op-1', 'op-1']);
  });

  it('pause nothing for a rebuild that could not be cancelled any more', async () => {
    runs('replica.rebuild', 'copy');
    isPast = true;
    await expect(controller.updateRebuild({ volume: 'v', cancel: true })).rejects.toMatchObject({
      code: 'OPERATION_NOT_CANCELLABLE',
    });
    expect(asked()).toEqual([{ paused: true }, { paused: false }]);
  });

  it('cancel nothing that does not run, is about to end, or is something else', async () => {
    const refusal = { code: 'OPERATION_NOT_CANCELLABLE' };
    const cancel = () => controller.updateRebuild({ volume: 'v', cancel: true });
    await expect(cancel()).rejects.toMatchObject(refusal);
    runs('replica.rebuild', 'sync', 0);
    await expect(cancel()).rejects.toMatchObject(refusal);
    runs('volume.expand', 'copy');
    await expect(cancel()).rejects.toMatchObject(refusal);
    expect(changes).toEqual([]);
  });

  it('end a pause by asking for a rebuild or a move, unless that is to heed it', async () => {
    record = { ...VOLUME, rebuild: { ...DEFAULT_REBUILD_CONTROL, paused: true } };
    await expect(
      controller.rebuild({ volume: 'v', keepPause: true, wait: false }, context),
    ).rejects.toThrow('begun');
    expect(asked()).toEqual([]);
    await expect(controller.rebuild({ volume: 'v', wait: false }, context)).rejects.toThrow(
      'begun',
    );
    await expect(
      controller.move({ volume: 'v', replica: 'r1', wait: false }, context),
    ).rejects.toThrow('begun');
    expect(asked()).toEqual([{ paused: false }, { paused: false }]);
  });
});
