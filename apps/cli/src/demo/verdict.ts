import type { VolumeView } from '@lariat/contracts';
import { LariatError } from '@lariat/kernel';

export interface Checksums {
  /** Of the file, as read from the file system. */
  file: string;
  /** Of the same range, read back through the frontend. */
  fileReadBack: string;
  /** Of the whole volume as it must be after the rebuild, from what was acknowledged. */
  expected: string;
  readBack: string;
  /** Of each replica, computed by its node. */
  replicas: Readonly<Record<string, string>>;
  snapshotExpected: string;
  snapshotReadBack: string;
  /** Of the image as it was made, and of a volume from it. */
  image: string;
  imageReadBack: string;
}

export interface ScenarioResult {
  readonly checksums: Partial<Checksums>;
  replicasIdentical: boolean;
  leftovers: readonly string[];
  traceId: string | null;
}

export const short = (sha256: string): string => `${sha256.slice(0, 16)}…`;

export const describeReplicas = (volume: VolumeView): string =>
  volume.replicas.map(({ node, mode, state }) => `${node} ${mode} ${state}`).join(', ');

export function failure(code: string, message: string): LariatError {
  return new LariatError({ kind: 'internal', code, message });
}

export const differs = (what: string, from: string): LariatError =>
  failure('DEMO_CONTENT_DIFFERS', `DATA LOSS: ${what} differ from ${from}.`);

export function mustBeEqual(what: string, expected: string, actual: string): void {
  if (expected === actual) return;
  throw new LariatError({
    kind: 'internal',
    code: 'DEMO_CONTENT_DIFFERS',
    message: `DATA LOSS: ${what} reads back with sha256 ${actual}, expected ${expected}.`,
    details: { expected, actual },
  });
}

export const leftOver = (found: readonly string[]): LariatError =>
  failure('DEMO_LEFTOVERS', `This is left over:\n${found.map((line) => `  ${line}`).join('\n')}`);
