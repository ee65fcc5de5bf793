import { BlockIoError, type BlockIoFailure } from '@lariat/nvme-tcp';
import { describe, expect, it } from 'vitest';
import { DraftSink, connectDraft } from './draft-sink.js';

const endpoint = {
  nqn: 'nqn.2026-11.io.lariat:draft',
  traddr: '127.0.0.1',
  trsvcid: '9',
  uuid: 'u',
};
const access = {
  ...{ endpoint, hostNqn: 'nqn.2026-11.io.lariat:import' },
  ...{ node: 'n1', disk: 'disk-0' },
};

describe('a draft', () => {
  it.each<[BlockIoFailure, string]>([
    ['gone', 'IMAGE_DRAFT_UNREACHABLE'],
    ['aborted', 'IMAGE_DRAFT_UNREACHABLE'],
    ['no-space', 'DISK_FULL'],
    ['media', 'TARGET_REFUSED'],
  ])('whose write ends with %s fails with %s, and names the node', async (failure, code) => {
    const fail = (): Promise<never> => Promise.reject(new BlockIoError(failure, 'why'));
    const sink = new DraftSink(
      { writeCluster: fail, finish: fail, close: () => Promise.resolve() },
      access,
    );
    const error = { code, message: expect.stringContaining('127.0.0.1:9') as string };
    await expect(sink.writeCluster(0, Buffer.alloc(1))).rejects.toMatchObject(error);
    await expect(sink.finish()).rejects.toMatchObject(error);
  });

  it('on a disk that is full says which one, and what to do', async () => {
    const full = (): Promise<never> => Promise.reject(new BlockIoError('no-space', 'why'));
    const sink = new DraftSink(
      { writeCluster: full, finish: full, close: () => Promise.resolve() },
      access,
    );
    await expect(sink.finish()).rejects.toMatchObject({
      details: { node: 'n1', disk: 'disk-0' },
      message: expect.stringMatching(/disk disk-0 of node 'n1'.*Free space on it/) as string,
    });
  });

  it('that nobody exports is an error of its own, which says where it was looked for', async () => {
    await expect(connectDraft(access, 1)).rejects.toMatchObject({
      ...{ code: 'IMAGE_DRAFT_UNREACHABLE', kind: 'unavailable' },
      message: expect.stringContaining('127.0.0.1:9') as string,
    });
  });
});
