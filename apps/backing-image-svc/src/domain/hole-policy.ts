/**
 * Sums of the content run over its holes as well, at the speed of a processor and not of a disk. Known holes are in
 * the sums as long as they are at most `alwaysBytes`, or `perDataByte` times what is no hole.
 */
export interface HolePolicy {
  readonly alwaysBytes: number;
  readonly perDataByte: number;
}

export const DEFAULT_HOLE_POLICY: HolePolicy = { alwaysBytes: 512 * 1024 * 1024, perDataByte: 2 };

export function sumsCoverHoles(policy: HolePolicy, sizeBytes: number, dataBytes: number): boolean {
  const holeBytes = sizeBytes - dataBytes;
  return holeBytes <= Math.max(policy.alwaysBytes, policy.perDataByte * dataBytes);
}
