/** Commands that began between two fences. */
export class InFlightGroup {
  private readonly owner: InFlight;
  private count = 0;

  constructor(owner: InFlight) {
    this.owner = owner;
  }

  get isEmpty(): boolean {
    return this.count === 0;
  }

  begin(): this {
    this.count += 1;
    return this;
  }

  end(): void {
    this.count -= 1;
    if (this.count === 0) this.owner.groupEnded();
  }
}

/** Counts running device commands, so that a removal can wait for the last one. */
export class InFlight {
  private current = new InFlightGroup(this);
  /** Groups that take no new commands and have not ended yet. */
  private readonly fenced = new Set<InFlightGroup>();
  private waiting: { readonly groups: readonly InFlightGroup[]; readonly resolve: () => void }[] =
    [];

  /** What is returned must be told of the command's end. */
  begin(): InFlightGroup {
    return this.current.begin();
  }

  /** Resolves when none is running; whoever waits must have stopped new ones first. */
  drained(): Promise<void> {
    return this.endOf([this.current, ...this.fenced]);
  }

  /** Resolves when the commands that run now have ended; later ones do not matter. */
  begunEnded(): Promise<void> {
    if (!this.current.isEmpty) {
      this.fenced.add(this.current);
      this.current = new InFlightGroup(this);
    }
    return this.endOf([...this.fenced]);
  }

  /** For groups. */
  groupEnded(): void {
    for (const group of this.fenced) if (group.isEmpty) this.fenced.delete(group);
    if (this.waiting.length === 0) return;
    const { waiting } = this;
    this.waiting = waiting.filter(({ groups }) => groups.some((group) => !group.isEmpty));
    for (const each of waiting) if (each.groups.every((group) => group.isEmpty)) each.resolve();
  }

  private endOf(candidates: readonly InFlightGroup[]): Promise<void> {
    const groups = candidates.filter((group) => !group.isEmpty);
    return groups.length === 0
      ? Promise.resolve()
      : new Promise((resolve) => this.waiting.push({ groups, resolve }));
  }
}
