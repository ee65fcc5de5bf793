import { describe, expect, it } from 'vitest';
import { chooseLegs } from './choose-legs.js';
import { newReplica, newVolumeRecord } from './volume-record.test-support.js';

const all = (): boolean => true;

describe('the legs of an engine', () => {
  it('are all of the in-sync set after a clean stop', () => {
    expect(chooseLegs(newVolumeRecord({}), 'n1', all)).toEqual({
      use: ['r1', 'r2', 'r3'],
      leave: [],
    });
  });

  it('are exactly one after an unclean stop, on the engine’s own node if it can be', () => {
    const choice = chooseLegs(newVolumeRecord({ clean: false }), 'n2', all);
    expect(choice.use).toEqual(['r2']);
    expect(choice.leave.map(({ replica }) => replica)).toEqual(['r1', 'r3']);
    expect(choice.leave[0]?.reason).toMatch(/unclean stop in epoch 1: copied anew from r2 on n2/);
  });

  it('are on a node that answers', () => {
    expect(
      chooseLegs(newVolumeRecord({ clean: false }), 'n1', (node) => node === 'n3').use,
    ).toEqual(['r3']);
  });

  it('never include one that is out of sync, however fresh its node', () => {
    const stale = { ...newReplica('r1', 'n1'), mode: 'ERR' as const };
    const record = newVolumeRecord({ clean: false, replicas: [stale, newReplica('r2', 'n2')] });
    expect(chooseLegs(record, 'n1', all)).toEqual({ use: ['r2'], leave: [] });
  });
});
