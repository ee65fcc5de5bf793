/** Names that are claimed by compare-and-set, each by one id. */
export interface ClaimedNames {
  readonly holderOf: (name: string) => Promise<string | undefined>;
  /** Who has the name after the call. */
  readonly reserve: (name: string, id: string) => Promise<string>;
}

const MAX_NAME_LENGTH = 63;

/**
 * The name that something recovered gets, and whether it was free: its own, unless what was made since has it, then one
 * that ends in its id. Undefined when both are taken.
 */
export async function claimRecoveredName(
  names: ClaimedNames,
  { id, name }: { readonly id: string; readonly name: string },
  dryRun: boolean,
): Promise<{ readonly name: string; readonly named: boolean } | undefined> {
  for (const wanted of [name, secondNameOf(id, name)]) {
    const before = await names.holderOf(wanted);
    if (before === id) return { name: wanted, named: false };
    if (before !== undefined) continue;
    if (dryRun || (await names.reserve(wanted, id)) === id) return { name: wanted, named: true };
  }
  return undefined;
}

function secondNameOf(id: string, name: string): string {
  const suffix = `-${id.slice(id.indexOf('-') + 1)}`;
  return `${name.slice(0, MAX_NAME_LENGTH - suffix.length)}${suffix}`;
}
