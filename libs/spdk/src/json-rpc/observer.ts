/** What a call is, as an observer sees it. */
export interface ObservedCall {
  readonly method: string;
  readonly params: object | undefined;
  /** JSON-RPC id, unique on its connection. */
  readonly id: number;
  readonly socketPath: string;
}

export type CallOutcome = { readonly result: unknown } | { readonly error: Error };

/** Told when a call is made; its answer is told when the call has ended, once, whatever the outcome. */
export interface CallObserver {
  onCall(call: ObservedCall): { end(outcome: CallOutcome): void };
}

/** Tells several observers of each call. */
export function allObservers(observers: readonly CallObserver[]): CallObserver {
  return {
    onCall(call) {
      const calls = observers.map((observer) => observer.onCall(call));
      return { end: (outcome) => calls.forEach((observed) => observed.end(outcome)) };
    },
  };
}

/** Observes nothing. */
export const noCallObserver: CallObserver = { onCall: () => ({ end: () => undefined }) };
