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

/** Observes nothing. */
export const noCallObserver: CallObserver = { onCall: () => ({ end: () => undefined }) };
