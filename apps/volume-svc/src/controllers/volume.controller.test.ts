import { CreateVolumeRequest, lariatError } from '@lariat/contracts';
import { MIB, toLariatError } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
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
