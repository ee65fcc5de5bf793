import type { StateMachine } from '@lariat/kernel';

export interface TableDemands<State extends string, Event extends string> {
  readonly initial: State;
  /** Where it may end: the only states that may have no way out. */
  readonly finals: readonly State[];
  /** Where it may rest: from every other state one of these, or a final one, can be reached. */
  readonly rests: readonly State[];
  readonly events: readonly Event[];
}

/** What is wrong with a table: states that nothing leads to or from, events that do nothing. */
export function findTableFaults<State extends string, Event extends string>(
  { table, name }: Pick<StateMachine<State, Event>, 'table' | 'name'>,
  { initial, finals, rests, events }: TableDemands<State, Event>,
): readonly string[] {
  const states = Object.keys(table) as State[];
  const next = (state: State): readonly State[] => Object.values(table[state]) as State[];
  const reach = (from: State): ReadonlySet<State> => {
    const found = new Set([from]);
    for (const state of found) for (const to of next(state)) found.add(to);
    return found;
  };
  const fromInitial = reach(initial);
  const goals = new Set([...finals, ...rests]);
  return [
    ...states
      .filter((state) => !fromInitial.has(state))
      .map((state) => `${name}: nothing leads to '${state}'`),
    ...states
      .filter((state) => next(state).length === 0 && !finals.includes(state))
      .map((state) => `${name}: nothing leads from '${state}'`),
    ...states
      .filter((state) => ![...reach(state)].some((to) => goals.has(to)))
      .map((state) => `${name}: '${state}' never comes to rest`),
    ...events
      .filter((event) => states.every((state) => table[state][event] === undefined))
      .map((event) => `${name}: no state knows '${event}'`),
  ];
}
