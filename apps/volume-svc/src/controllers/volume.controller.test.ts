import {
  AttachVolumeRequest,
  CreateVolumeRequest,
  type VolumeRecord,
  type VolumeView,
  lariatError,
} from '@lariat/contracts';
import { MIB, toLariatError } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import { newVolumeRecord } from '../domain/volume-record.test-support.js';
import { VolumeController } from './volume.controller.js';

const image = { id: 'img-000000000001', name: 'debian', state: 'ready', sizeBytes: 3 * MIB };

/** The input of the operation that a request to make a volume begins, or the code of its refusal. */
async function outcomeOf(
  given: Partial<CreateVolumeRequest>,
  found: object | null = image,
): Promise<unknown> {
  const begun: { readonly kind: string; readonly input: object }[] = [];
  const runner = {
    known: () => Promise.resolve(undefined),
    start: (request: { readonly kind: string; readonly input: object }) => {
      begun.push(request);
      return Promise.resolve({ id: 'op-1' });
    },
    wait: () => Promise.resolve({ error: null, result: null }),
  };
  const client = {
    request: () =>
      found === null
        ? Promise.reject(lariatError('IMAGE_NOT_FOUND', 'There is none.'))
        : Promise.resolve(found),
  };
  const controller = new VolumeController({ client, runner } as never);
  const request = Object.assign(new CreateVolumeRequest(), { name: 'v1', ...given });
  try {
    await controller.create(request, { facts: { actor: 'test' } } as never);
  } catch (error) {
    return toLariatError(error).code;
  }
  return { kind: begun[0]?.kind, ...begun[0]?.input };
}

describe('a volume that is to be made from an image', () => {
  it.each([
    [undefined, 3 * MIB],
    [3 * MIB, 3 * MIB],
    [3 * MIB - 1, 3 * MIB],
    [8 * MIB + 1, 9 * MIB],
  ])('of %s bytes has %s', async (asked, sizeBytes) => {
    const size = asked === undefined ? {} : { sizeBytes: asked };
    // By name or by id: two callers who mean the same image join one operation.
    expect(await outcomeOf({ image: 'debian', ...size })).toMatchObject({
      ...{ kind: 'volume.create', image: image.id, sizeBytes },
    });
  });

  it('is refused when the image is larger, not ready, or not there', async () => {
    expect(await outcomeOf({ image: 'debian', sizeBytes: 2 * MIB })).toBe('SIZE_TOO_SMALL');
    for (const state of ['pending', 'downloading', 'failed', 'deleting'])
      expect(await outcomeOf({ image: 'debian' }, { ...image, state })).toBe('IMAGE_NOT_READY');
    expect(await outcomeOf({ image: 'debian' }, null)).toBe('IMAGE_NOT_FOUND');
  });

  it('is not made from a source as well', async () => {
    const source = { volume: 'v0' };
    expect(await outcomeOf({ image: 'debian', source })).toBe('REQUEST_INVALID');
  });

  it('names none when none is asked for', async () => {
    expect(await outcomeOf({ sizeBytes: MIB }, null)).toMatchObject({
      ...{ kind: 'volume.create', image: null, sizeBytes: MIB },
    });
  });
});

describe('a volume that is to be attached', () => {
  const [A, B] = ['nqn.2026-11.io.example:a', 'nqn.2026-11.io.example:b'];
  const attachedForA = newVolumeRecord({
    state: 'attached',
    attachment: {
      ...{ epoch: 1, node: 'n1', frontend: 'nvmf', endpoint: null, engine: null },
      ...{ hostNqns: [A], seizedFrom: null, inSync: ['r1'] },
    },
  });

  /** The input of the operation that begins, the code of its refusal, or the hosts of what is there already. */
  async function attach(
    given: Partial<AttachVolumeRequest>,
    found: VolumeRecord = newVolumeRecord({}),
  ): Promise<unknown> {
    const begun: object[] = [];
    const runner = {
      known: () => Promise.resolve(undefined),
      start: ({ input }: { readonly input: object }) => {
        begun.push(input);
        return Promise.resolve({ id: 'op-1' });
      },
      wait: () => Promise.resolve({ error: null, result: null }),
    };
    const volumes = { find: () => Promise.resolve(found) };
    const controller = new VolumeController({ volumes, runner } as never);
    const request = Object.assign(new AttachVolumeRequest(), {
      ...{ volume: 'v1', node: 'n1' },
      ...given,
    });
    try {
      const answer = await controller.attach(request, { facts: { actor: 'test' } } as never);
      return begun[0] ?? { there: (answer as VolumeView).attachment?.hostNqns };
    } catch (error) {
      return toLariatError(error).code;
    }
  }

  it('is for the hosts that are named, in whatever order', async () => {
    const hosts = { hostNqns: [A, B] };
    expect(await attach({ hostNqns: [B, A] })).toMatchObject({ frontend: 'nvmf', ...hosts });
    expect(await attach({ hostNqns: [A, B] })).toMatchObject(hosts);
    expect(await attach({})).toMatchObject({ hostNqns: null });
  });

  it('names no hosts with a frontend that makes the node the host', async () => {
    for (const frontend of ['kernel', 'nbd', 'loop'] as const)
      expect(await attach({ frontend, hostNqns: [A] })).toBe('HOST_NQNS_UNSUPPORTED');
  });

  it('is as asked for when it is for the same hosts, and taken when it is for others', async () => {
    expect(await attach({ hostNqns: [A] }, attachedForA)).toEqual({ there: [A] });
    for (const hosts of [{ hostNqns: [B] }, { hostNqns: [A, B] }, {}])
      expect(await attach(hosts, attachedForA)).toBe('VOLUME_ATTACHED');
  });
});
