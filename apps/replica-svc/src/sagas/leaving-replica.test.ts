import {
  type CommandName,
  type ErrorCode,
  type ReplicaRecord,
  type VolumeChange,
  type VolumeRecord,
  lariatError,
} from '@lariat/contracts';
import { describe, expect, it } from 'vitest';
import { type RebuildDeps } from './rebuild-memory.js';
import { moveReplicaSaga, rebuildReplicaSaga } from './rebuild-replica.saga.js';
import { removeReplicaSaga } from './remove-replica.saga.js';

const engine = { node: 'n1', epoch: 3 };
const leaving: ReplicaRecord = {
  id: 'r2',
  node: 'n2',
  disk: 'd2',
  mode: 'RW',
  state: 'ready',
  lvolUuid: 'u2',
  reason: null,
  faultedAtMs: null,
};

/** What a saga does, in order; `isLastLeg`: the engine has lost all others. `onRecord`: the replica as it is by then. `nodes`: the state of all but the engine's. */
function scene(isLastLeg: boolean, onRecord?: ReplicaRecord, refusal?: ErrorCode, nodes = 'ready') {
  const happened: string[] = [];
  const record = {
    id: 'vol-1',
    operation: 'op',
    headParent: null,
    snapshots: [],
    ...(refusal === 'VOLUME_IN_DOUBT' ? { inDoubt: ['set back'] } : {}),
    attachment: { ...engine, inSync: [] },
    replicas: onRecord === undefined ? [] : [{ ...leaving, id: 'r1', node: 'n4' }, onRecord],
  } as unknown as VolumeRecord;
  const request = (subject: string, body: object): Promise<unknown> => {
    if (subject === 'internal.volume.record') return Promise.resolve(record);
    if (subject !== 'internal.volume.change') {
      const { node } = body as { node: string };
      return Promise.resolve({ state: node === engine.node ? 'ready' : nodes });
    }
    const types = (body as { changes: VolumeChange[] }).changes.map(({ type }) => type);
    happened.push(...types);
    if (refusal !== undefined && types.some((type) => type.endsWith('-replica')))
      return Promise.reject(lariatError(refusal, 'it is not kept'));
    return Promise.resolve(record);
  };
  const command = (_node: string, name: CommandName): Promise<unknown> => {
    happened.push(name);
    return name === 'engine.remove-leg' && isLastLeg
      ? Promise.reject(lariatError('LAST_REPLICA', 'it is the last leg'))
      : Promise.resolve({});
  };
  const deps = {
    volumes: { fresh: () => Promise.resolve(record) },
    allocator: {
      release: () => {
        happened.push('promise released');
        return Promise.resolve();
      },
    },
    clock: { nowMs: () => 1 },
  } as unknown as RebuildDeps;
  const context = (input: object, memory: object): never =>
    ({
      operation: 'op',
      attempt: 1,
      input,
      memory,
      command,
      client: { request },
      log: { info: () => undefined, warn: () => undefined },
      checkpoint: (found: object) => {
        happened.push(`noted: ${Object.keys(found).join(', ')}`);
        return Promise.resolve();
      },
    }) as never;
  return { happened, deps, context };
}

describe('the removal of a healthy replica', () => {
  const input = { volume: 'vol-1', replica: 'r2' };
  const memory = { node: 'n2', removed: leaving, engine };
  const stepOf = (deps: RebuildDeps, name: string) => {
    const found = removeReplicaSaga(deps).steps.find((step) => step.name === name);
    if (found === undefined) throw new Error(`there is no step ${name}`);
    return found;
  };

  it('forgets it when its engine has let go of it, not before', async () => {
    const { happened, deps, context } = scene(false);
    await stepOf(deps, 'forget').run(context(input, memory));
    await stepOf(deps, 'leave-engine').run(context(input, memory));
    expect(happened).toEqual(['retire-replica', 'engine.remove-leg', 'drop-replica']);
  });

  it('forgets it at once when no engine runs', async () => {
    const { happened, deps, context } = scene(false);
    await stepOf(deps, 'leave-engine').run(context(input, { ...memory, engine: null }));
    expect(happened).toEqual(['drop-replica']);
  });

  it('counts it again, on the record that never lost it, when the engine has no other leg', async () => {
    const { happened, deps, context } = scene(true, { ...leaving, mode: 'WO', state: 'removing' });
    const refused = stepOf(deps, 'leave-engine').run(context(input, memory));
    await expect(refused).rejects.toMatchObject({ code: 'LAST_REPLICA' });
    await stepOf(deps, 'forget').undo?.(context(input, { ...memory, stays: true }));
    expect(happened).toEqual(['engine.remove-leg', 'noted: stays', 'sync-replica']);
  });
});

describe('the removal of a replica that is given up', () => {
  const input = { volume: 'vol-1', replica: 'r2' };
  const removing: ReplicaRecord = { ...leaving, mode: 'WO', state: 'removing' };
  const undone = async (begun: readonly string[], memory: object): Promise<readonly string[]> => {
    const { happened, deps, context } = scene(false, removing);
    const noted: object = { removed: leaving, engine, ...memory };
    const steps = removeReplicaSaga(deps).steps.filter(({ name }) => begun.includes(name));
    for (const step of steps.toReversed()) {
      const checkpoint = (found: object): Promise<object> =>
        Promise.resolve(Object.assign(noted, found));
      await step.undo?.({ ...(context(input, noted) as object), checkpoint } as never);
    }
    return happened;
  };

  it('counts again before its engine was told to go on without it, or when there is none', async () => {
    expect(await undone(['forget'], {})).toEqual(['sync-replica']);
    expect(await undone(['forget', 'leave-engine'], { engine: null })).toEqual(['sync-replica']);
  });

  it('does not count again after that, nor when it was forgotten', async () => {
    expect(await undone(['forget', 'leave-engine'], {})).toEqual(['put-replica']);
    const { happened, deps, context } = scene(false);
    const forget = removeReplicaSaga(deps).steps.find(({ name }) => name === 'forget');
    await forget?.undo?.(context(input, { removed: leaving, engine: null }));
    expect(happened).toEqual(['put-replica']);
  });
});

it('is given back, when its removal is given up, also on a record that is in doubt', async () => {
  const { happened, deps, context } = scene(false, undefined, 'VOLUME_IN_DOUBT');
  const forget = removeReplicaSaga(deps).steps.find(({ name }) => name === 'forget');
  const input = { volume: 'vol-1', replica: 'r2' };
  await expect(forget?.run(context(input, {}))).rejects.toMatchObject({ code: 'VOLUME_IN_DOUBT' });
  await forget?.undo?.(context(input, { removed: leaving }));
  expect(happened).toEqual(['retire-replica', 'put-replica']);
});

it('goes on to count when its removal was refused: it is the last one by now', async () => {
  const { happened, deps, context } = scene(false, leaving);
  const forget = removeReplicaSaga(deps).steps.find(({ name }) => name === 'forget');
  await forget?.undo?.(context({ volume: 'vol-1', replica: 'r2' }, { removed: leaving }));
  expect(happened).toEqual([]);
});

it('ends its removal, when that was refused, with the refusal', async () => {
  const { deps, context } = scene(false, leaving, 'LAST_REPLICA');
  const forget = removeReplicaSaga(deps).steps.find(({ name }) => name === 'forget');
  const memory = { removed: leaving };
  const refused = forget?.run(context({ volume: 'vol-1', replica: 'r2' }, memory));
  await expect(refused).rejects.toMatchObject({ code: 'LAST_REPLICA' });
  // The record would refuse every change that does not count it, for as long as the undo is tried.
  await forget?.undo?.(context({ volume: 'vol-1', replica: 'r2' }, memory));
});

it('does not count again when its engine, which had kept it, has lost it since', async () => {
  const { happened, deps, context } = scene(true, { ...leaving, mode: 'ERR', state: 'faulted' });
  const forget = removeReplicaSaga(deps).steps.find(({ name }) => name === 'forget');
  const memory = { removed: leaving, stays: true };
  await forget?.undo?.(context({ volume: 'vol-1', replica: 'r2' }, memory));
  expect(happened).toEqual([]);
});

it('is not waited for by its removal when all members that could keep that are declared gone', async () => {
  const forget = async (nodes: string): Promise<unknown> => {
    const { deps, context } = scene(false, leaving, 'LEG_UNREACHABLE', nodes);
    const step = removeReplicaSaga(deps).steps.find(({ name }) => name === 'forget');
    return step?.run(context({ volume: 'vol-1', replica: 'r2' }, {}));
  };
  await expect(forget('suspect')).rejects.toMatchObject({ code: 'LEG_UNREACHABLE' });
  await expect(forget('down')).rejects.toMatchObject({ code: 'VOLUME_FAULTED' });
});

describe('a rebuild that is given up', () => {
  const input = { volume: 'vol-1', replica: null };
  const joining: ReplicaRecord = { ...leaving, id: 'r9', mode: 'WO', state: 'rebuilding' };
  const places = { target: { id: 'r9', node: 'n9', disk: 'd9' }, source: leaving };
  const undo = async (refusal?: ErrorCode, nodes = 'ready'): Promise<readonly string[]> => {
    const { happened, deps, context } = scene(false, joining, refusal, nodes);
    const join = rebuildReplicaSaga(deps).steps.find(({ name }) => name === 'join');
    await join?.undo?.(context(input, { ...places, engine }));
    return happened;
  };

  it('asks for newer records before it deletes its replica', async () => {
    expect(await undo()).toEqual([
      'put-replica',
      'engine.remove-leg',
      'replica.delete',
      'rebuild.unexport-snapshot',
      'snapshot.delete',
      'snapshot.delete',
      'drop-snapshot',
    ]);
  });

  it('deletes nothing when the volume is in doubt: the replica may be the newest by now', async () => {
    expect(await undo('VOLUME_IN_DOUBT')).toEqual(['put-replica']);
  });

  it('deletes nothing either when its join is tried again, and a node keeps a newer record', async () => {
    const { happened, deps, context } = scene(false, joining, 'VOLUME_IN_DOUBT');
    const join = rebuildReplicaSaga(deps).steps.find(({ name }) => name === 'join');
    const again = { ...(context(input, { ...places, engine }) as object), attempt: 2 };
    await expect(join?.run(again as never)).rejects.toMatchObject({ code: 'VOLUME_IN_DOUBT' });
    expect(happened).toEqual(['put-replica']);
  });

  it('waits for a member that may keep it, and not for members that are declared gone', async () => {
    await expect(undo('LEG_UNREACHABLE')).rejects.toMatchObject({ code: 'LEG_UNREACHABLE' });
    const gone = await undo('LEG_UNREACHABLE', 'down');
    expect(gone[0]).toBe('put-replica');
    expect(gone).not.toContain('replica.delete');
  });
});

describe('a rebuild that is given up when its engine has lost all legs but the new one', () => {
  const joining: ReplicaRecord = { ...leaving, id: 'r9', mode: 'WO', state: 'rebuilding' };
  const memory = { target: { id: 'r9', node: 'n9', disk: 'd9' }, source: leaving, engine };
  const isLastLeg = true;
  const stepOf = (deps: RebuildDeps, name: string) =>
    rebuildReplicaSaga(deps).steps.find((step) => step.name === name);
  const input = { volume: 'vol-1', replica: null };

  it('deletes nothing under the engine, and leaves a failed replica on record', async () => {
    const { happened, deps, context } = scene(isLastLeg, joining);
    await stepOf(deps, 'join')?.undo?.(context(input, memory));
    expect(happened).toEqual([
      'put-replica',
      'engine.remove-leg',
      'rebuild.unexport-snapshot',
      'snapshot.delete',
      'snapshot.delete',
      'drop-snapshot',
      'noted: stays',
      'fault-replica',
    ]);
    happened.length = 0;
    await stepOf(deps, 'place')?.undo?.(context(input, { ...memory, stays: true }));
    expect(happened).toEqual([]);
  });

  it('ends also when the nodes of the lost ones are declared gone', async () => {
    const { happened, deps, context } = scene(isLastLeg, joining, 'LEG_UNREACHABLE', 'down');
    await stepOf(deps, 'join')?.undo?.(context(input, memory));
    expect(happened.at(-1)).toBe('fault-replica');
  });

  it('is not joined again by a second try', async () => {
    const { happened, deps, context } = scene(isLastLeg, joining);
    const again = { ...(context(input, memory) as object), attempt: 2 };
    const run = stepOf(deps, 'join')?.run(again as never);
    await expect(run).rejects.toMatchObject({ code: 'LAST_REPLICA' });
    expect(happened).not.toContain('engine.close-gate');
  });
});

describe('a move whose new replica is in sync', () => {
  const input = { volume: 'vol-1', replica: 'r2', toDisks: ['d9'] };
  const memory = { engine, replaced: leaving, target: { id: 'r9', node: 'n9', disk: 'd9' } };
  const clean = async (
    isLastLeg: boolean,
    onRecord?: Partial<ReplicaRecord>,
    refusal?: ErrorCode,
    nodes = 'ready',
    noted: object = {},
  ): Promise<readonly string[]> => {
    const found = onRecord === undefined ? undefined : { ...leaving, ...onRecord };
    const { happened, deps, context } = scene(isLastLeg, found, refusal, nodes);
    const step = moveReplicaSaga(deps).steps.find(({ name }) => name === 'clean');
    // The answer needs a whole record; what comes before it is what is looked at.
    await step?.run(context(input, { ...memory, ...noted })).catch(() => undefined);
    return happened.slice(happened.indexOf('drop-snapshot') + 1);
  };
  const removing = { mode: 'WO', state: 'removing' } as const;

  it('takes the old one out of its engine, then off the record, then away', async () => {
    expect(await clean(false, removing)).toEqual([
      'retire-replica',
      'noted: retired',
      'engine.remove-leg',
      'drop-replica',
      'replica.delete',
      'promise released',
      'release',
    ]);
  });

  it('ends, and takes nothing away, when the volume is in doubt by then', async () => {
    const end = ['retire-replica', 'sync-replica', 'release'];
    expect(await clean(false, removing, 'VOLUME_IN_DOUBT')).toEqual(end);
  });

  it('lets the old one miss no write while no member has kept that it does not count', async () => {
    const end = ['retire-replica', 'sync-replica', 'release'];
    expect(await clean(false, removing, 'LEG_UNREACHABLE', 'down')).toEqual(end);
    // Counted again by an earlier run.
    expect(await clean(false, {}, 'LEG_UNREACHABLE', 'down')).toEqual(['release']);
  });

  it('never counts an old one again that may have left its engine in an earlier run', async () => {
    const end = ['engine.remove-leg', 'drop-replica', 'promise released', 'release'];
    const noted = { retired: true };
    expect(await clean(false, removing, 'LEG_UNREACHABLE', 'down', noted)).toEqual(end);
  });

  it('counts the old one again when the engine has lost all others', async () => {
    expect(await clean(true, removing)).toEqual([
      'retire-replica',
      'noted: retired',
      'engine.remove-leg',
      'sync-replica',
      'release',
    ]);
  });

  it('never counts an old one that had failed, whatever its engine has lost', async () => {
    expect(await clean(true)).toEqual(['engine.remove-leg', 'promise released', 'release']);
    const failed = { mode: 'ERR', state: 'faulted' } as const;
    expect(await clean(true, failed)).toEqual(['engine.remove-leg', 'release']);
  });

  it('leaves the in-sync set to the new one, and the old one on record', async () => {
    const { happened, deps, context } = scene(false);
    const step = moveReplicaSaga(deps).steps.find(({ name }) => name === 'sync');
    await step?.run(context(input, memory));
    expect(happened).toEqual(['sync-replica', 'retire-replica']);
  });

  const sync = (refusal: ErrorCode, nodes: string): Promise<unknown> => {
    const { deps, context } = scene(false, { ...leaving, ...removing }, refusal, nodes);
    const step = moveReplicaSaga(deps).steps.find(({ name }) => name === 'sync');
    return step?.run(context(input, memory)) ?? Promise.reject(new Error('there is no such step'));
  };

  it('waits for a member to keep that, and not for members that are declared gone', async () => {
    await expect(sync('LEG_UNREACHABLE', 'suspect')).rejects.toMatchObject({
      code: 'LEG_UNREACHABLE',
    });
    await expect(sync('LEG_UNREACHABLE', 'down')).resolves.toBeUndefined();
    await expect(sync('VOLUME_BUSY', 'ready')).rejects.toMatchObject({ code: 'VOLUME_BUSY' });
  });

  it('leaves it to the old one again when the new one was lost before that was kept', async () => {
    const undo = async (found: Partial<ReplicaRecord>): Promise<readonly string[]> => {
      const { happened, deps, context } = scene(false, { ...leaving, ...found });
      const step = moveReplicaSaga(deps).steps.find(({ name }) => name === 'sync');
      await step?.undo?.(context(input, memory));
      return happened;
    };
    expect(await undo(removing)).toEqual(['sync-replica']);
    expect(await undo({ mode: 'ERR', state: 'faulted' })).toEqual([]);
  });
});
