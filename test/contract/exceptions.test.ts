import { SpdkError } from '@lariat/spdk';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Exception, EXCEPTIONS, EXTENSIONS } from './support/exceptions.js';
import { Lab } from './support/lab.js';
import {
  softTarget,
  stockSoftTarget,
  TARGET_KINDS,
  type TargetKind,
} from './support/target-kind.js';
import type { TargetProcess } from './support/target-process.js';

/** The table is true: soft-target differs where it says so, and SPDK is as it says. */
describe.each([...TARGET_KINDS, stockSoftTarget])('$name: a difference on purpose', (kind) => {
  let lab: Lab;
  let target: TargetProcess;

  beforeEach(async (context) => {
    if (kind.missing !== undefined) return context.skip(kind.missing);
    lab = await Lab.open(kind);
    target = await lab.startTarget();
  });
  afterEach(async (context) => {
    if (kind.missing === undefined) await lab.close(context);
  });

  test.each(EXCEPTIONS)('$what: $why', async ({ attempt, ...answers }) => {
    const answer = await attempt(target).then(
      () => 'accepted' as const,
      (error: unknown) => {
        if (error instanceof SpdkError) return error.rpcCode;
        throw error;
      },
    );
    expect(answer).toBe(expectedOf(kind, answers));
  });

  test('is no method but those that the table names', async () => {
    const own = (await target.spdk.app.getMethods()).filter(
      (name) => name.startsWith('lariat_') || EXTENSIONS.includes(name),
    );
    expect(own.toSorted()).toEqual(kind.name === softTarget.name ? EXTENSIONS : []);
  });
});

function expectedOf(
  { name }: TargetKind,
  { softTarget: own, stock = own, spdk }: Omit<Exception, 'attempt'>,
): Exception['spdk'] {
  if (name === softTarget.name) return own;
  return name === stockSoftTarget.name ? stock : spdk;
}
