import {
  NODE_DUTY_MACHINE,
  type NodeDutyEvent,
  type NodeRecord,
  dutyOf,
  lariatError,
} from '@lariat/contracts';

export interface DutyChange {
  readonly event: NodeDutyEvent;
  /** The operation that drains the node; what another one has since taken over is not its to end. */
  readonly operation?: string;
}

/** The node with another duty; the very same when it has that already, or when the change is not the caller's to make. Pure. */
export function withDuty(node: NodeRecord, { event, operation }: DutyChange): NodeRecord {
  const before = dutyOf(node);
  const isEnd = event === 'drained' || event === 'drain-ended';
  if (isEnd && node.drain !== operation) return node;
  if (!NODE_DUTY_MACHINE.can(before, event)) return node;
  const duty = NODE_DUTY_MACHINE.next(before, event);
  const next = { ...node, schedulable: duty === 'open', duty };
  return event === 'drain' && operation !== undefined ? { ...next, drain: operation } : next;
}

/** To be opened while its drain runs, it would get new things as the old ones leave. */
export function nodeDraining({ name }: Pick<NodeRecord, 'name'>, operation: string): Error {
  return lariatError(
    'NODE_DRAINING',
    `Node '${name}' is being drained by operation ${operation}: cancel that first ('lariat operation cancel ${operation}').`,
    { node: name, operation },
  );
}
