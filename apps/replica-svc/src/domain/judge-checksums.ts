/** What one replica's copy was read as. */
export interface CopySum {
  readonly replica: string;
  readonly node: string;
  readonly sha256: string;
}

export type ChecksumVerdict =
  | { readonly kind: 'identical'; readonly sha256: string; readonly isProven: boolean }
  /** `odd` hold something else than the others, or than what was found before. */
  | { readonly kind: 'odd'; readonly sha256: string; readonly odd: readonly CopySum[] }
  | { readonly kind: 'undecided' };

/**
 * Which copies are right. What was found and recorded before decides; without it, more than half of the copies. Two
 * that differ, or a tie, decide nothing: a guess could make the wrong one the only one. Pure.
 */
export function judgeChecksums(
  sums: readonly CopySum[],
  recorded: string | undefined,
): ChecksumVerdict {
  const right = recorded ?? majorityOf(sums);
  const odd = sums.filter(({ sha256 }) => sha256 !== right);
  if (right === undefined || odd.length === sums.length) return { kind: 'undecided' };
  if (odd.length > 0) return { kind: 'odd', sha256: right, odd };
  // One copy alone agrees with itself whatever it holds.
  return { kind: 'identical', sha256: right, isProven: recorded !== undefined || sums.length > 1 };
}

function majorityOf(sums: readonly CopySum[]): string | undefined {
  return sums
    .map(({ sha256 }) => sha256)
    .find(
      (candidate) => sums.filter(({ sha256 }) => sha256 === candidate).length * 2 > sums.length,
    );
}
