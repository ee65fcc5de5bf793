import { describe, expect, it } from 'vitest';
import { chooseLegs } from './choose-legs.js';
import { newReplica, newVolumeRecord } from './volume-record.test-support.js';

const all = (): boolean => true;
const unclean = newVolumeRecord({ clean: false });

describe('the legs of an engine', () => {
  it('are all of the in-sync set after a clean stop', () => {
    expect(chooseLegs(newVolumeRecord({}), 'n1', all)).toEqual({
      kind: 'all',
      replicas: ['r1', 'r2', 'r3'],
    });
  });

  it('are one after an unclean stop, on the engine’s own node if it can be', () => {
    expect(chooseLegs(unclean, 'n2', all)).toEqual({
      kind: 'one-of',
      candidates: ['r2', 'r1', 'r3'],
    });
  });

  it('are on a node that answers rather than on one that does not', () => {
    expect(chooseLegs(unclean, 'n1', (node) => node === 'n3')).toEqual({
      kind: 'one-of',
      candidates: ['r3', 'r1', 'r2'],
    });
  });

  it('are never on a node whose engine may still be writing to its own replica', () => {
    const seized = (node: string): boolean => node !== 'n1';
    expect(chooseLegs(unclean, 'n2', all, seized)).toEqual({
      kind: 'one-of',
      candidates: ['r2', 'r3'],
    });
  });

  it('never include one that is out of sync, however fresh its node', () => {
    const stale = { ...newReplica('r1', 'n1'), mode: 'ERR' as const };
    const record = newVolumeRecord({ clean: false, replicas: [stale, newReplica('r2', 'n2')] });
    expect(chooseLegs(record, 'n1', all)).toEqual({ kind: 'one-of', candidates: ['r2'] });
  });
});
