import { expect, test } from 'vitest';
import { lossTimesAgree } from './nvme-options.js';

/** Loss, reconnect delay, fast fail; as bdev_nvme_check_io_error_resiliency_params decides. */
test.each([
  [0, 0, 0, true],
  [0, 1, 0, false],
  [0, 0, 1, false],
  [-2, 1, 0, false],
  [-1, 0, 0, false],
  [-1, 1, 0, true],
  [-1, 1, 1, true],
  [-1, 2, 1, false],
  [5, 0, 0, false],
  [5, 1, 0, true],
  [5, 6, 0, false],
  [5, 1, 2, true],
  [5, 2, 1, false],
  [5, 1, 6, false],
  [5, 5, 5, true],
])('times %i, %i, %i agree: %s', (loss, delay, fast, agree) => {
  expect(
    lossTimesAgree({
      ctrlrLossTimeoutSeconds: loss,
      reconnectDelaySeconds: delay,
      fastIoFailTimeoutSeconds: fast,
    }),
  ).toBe(agree);
});
