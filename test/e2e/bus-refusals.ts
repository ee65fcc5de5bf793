import { existsSync, readFileSync } from 'node:fs';
import type { ClusterPaths } from '@lariat/cli';

/** How nats-server logs what it has refused to somebody, or whom it has not let in. */
export const REFUSAL = / Violation - |authentication error/;

/** What NATS has refused to any part of a cluster: a part that asks for more than its role may is broken. */
export function refusalsIn(paths: ClusterPaths): readonly string[] {
  const log = paths.log('nats');
  if (!existsSync(log)) return [];
  return readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => REFUSAL.test(line));
}

export function assertNothingRefused(refusals: readonly string[]): void {
  if (refusals.length > 0) throw new Error(`NATS has refused: ${refusals.join('; ')}`);
}
