import { describe, expect, it } from 'vitest';
import { judgeStop } from './stop-verdict.js';
import { newReplica, newVolumeRecord } from './volume-record.test-support.js';

const record = newVolumeRecord({});

describe('the end of an engine', () => {
  it('is clean when every replica had all writes', () => {
    expect(judgeStop(record, ['r3', 'r1', 'r2'])).toEqual({ clean: true, lost: [] });
  });

  it('takes out of the set what it ended without', () => {
    expect(judgeStop(record, ['r1'])).toEqual({ clean: true, lost: ['r2', 'r3'] });
  });

  it('is not clean, and takes nothing out, when no one saw it', () => {
    expect(judgeStop(record, null)).toEqual({ clean: false, lost: [] });
    expect(judgeStop(record, [])).toEqual({ clean: false, lost: [] });
    expect(judgeStop(record, ['another'])).toEqual({ clean: false, lost: [] });
  });

  it('says nothing of a replica that is out of the set already', () => {
    const stale = { ...newReplica('r3', 'n3'), mode: 'ERR' as const };
    const degraded = newVolumeRecord({
      replicas: [newReplica('r1', 'n1'), newReplica('r2', 'n2'), stale],
    });
    expect(judgeStop(degraded, ['r1', 'r2'])).toEqual({ clean: true, lost: [] });
  });
});
