import { BlockIoError, type BlockIoFailure } from '@lariat/nvme-tcp';
import { describe, expect, it } from 'vitest';
import { DraftSink, connectDraft } from './draft-sink.js';

const endpoint = {
  nqn: 'nqn.2026-11.io.lariat:draft',
  traddr: '127.0.0.1',
  trsvcid: '9',
  uuid: 'u',
};
const access = { endpoint, hostNqn: 'nqn.2026-11.io.lariat:import' };

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

  it('that nobody exports is an error of its own, which says where it was looked for', async () => {
    await expect(connectDraft(access, 1)).rejects.toMatchObject({
      ...{ code: 'IMAGE_DRAFT_UNREACHABLE', kind: 'unavailable' },
      message: expect.stringContaining('127.0.0.1:9') as string,
    });
  });
});
