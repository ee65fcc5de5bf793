/** A state machine as data: for each state, the state that each event leads to. */
export type StateTable<State extends string, Event extends string> = {
  readonly [S in State]: { readonly [E in Event]?: State };
};

/** Thrown for an event that a state does not allow; the caller turns it into its own error code. */
export class IllegalTransition extends Error {
  override readonly name = 'IllegalTransition';
  readonly state: string;
  readonly event: string;

  constructor(machine: string, state: string, event: string, allowed: readonly string[]) {
    super(
      `${machine}: '${event}' is not allowed in state '${state}' (allowed: ${allowed.join(', ') || 'none'})`,
    );
    this.state = state;
    this.event = event;
  }
}

export interface StateMachine<State extends string, Event extends string> {
  readonly name: string;
  readonly table: StateTable<State, Event>;
  can(state: State, event: Event): boolean;
  /** The next state; throws IllegalTransition. */
  next(state: State, event: Event): State;
}

export function defineStateMachine<State extends string, Event extends string>(
  name: string,
  table: StateTable<State, Event>,
): StateMachine<State, Event> {
  return {
    name,
    table,
    can: (state, event) => table[state][event] !== undefined,
    next: (state, event) => {
      const to = table[state][event];
      if (to === undefined)
        throw new IllegalTransition(name, state, event, Object.keys(table[state]));
      return to;
    },
  };
}

/** The table as a mermaid state diagram, for docs/. */
export function toMermaid(machine: StateMachine<string, string>): string {
  const lines = ['stateDiagram-v2'];
  for (const [from, edges] of Object.entries(machine.table)) {
    for (const [event, to] of Object.entries(edges)) lines.push(`    ${from} --> ${to}: ${event}`);
  }
  return `${lines.join('\n')}\n`;
}
