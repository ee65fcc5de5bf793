import { systemClock } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import { imageRecord } from '../testing/image-record.js';
import { memoryImages } from '../testing/memory-images.js';
import { imaginedStep } from '../testing/step-context.js';
import { deleteImageSaga } from './delete-image.saga.js';
import type { ImageSagaDeps } from './saga-deps.js';

describe('a deletion', () => {
  function begin(store: ReturnType<typeof memoryImages>) {
    const order: string[] = [];
    const tell = store.images.tell.bind(store.images);
    store.images.tell = (record) => {
      order.push(`keep ${record.state}`);
      return tell(record);
    };
    const deps = { images: store.images, clock: systemClock } as unknown as ImageSagaDeps;
    const step = imaginedStep({
      input: { image: 'img-1' },
      answers: {
        'image.delete-copy': (node) => {
          order.push(`delete on ${node}`);
          return {};
        },
      },
      requests: {
        'internal.volume.users-of-image': () => ({ volumes: [] }),
        'node.get': ({ node }: { node: string }) => ({ name: node, state: 'ready' }),
      },
    });
    const run = async (): Promise<void> => {
      for (const each of deleteImageSaga(deps).steps)
        Object.assign(step.memory, await each.run(step.context as never));
    };
    return { run, order };
  }

  it('is kept by the nodes before the first copy goes: a recovery must not take the image for whole', async () => {
    const store = memoryImages(imageRecord());
    const { run, order } = begin(store);
    await run();
    expect(order).toEqual(['keep deleting', 'delete on n1']);
    expect(store.removed).toEqual(['deleted']);
  });

  it('that a recovery has found begun can be asked for again, and no other can', async () => {
    const found = memoryImages(imageRecord({ state: 'deleting', generation: 1 }));
    await begin(found).run();
    expect([found.records.size, found.names.size]).toEqual([0, 0]);
    const busy = memoryImages(imageRecord({ state: 'deleting', operation: 'op-9' }));
    await expect(begin(busy).run()).rejects.toMatchObject({ code: 'OPERATION_IN_PROGRESS' });
  });
});
