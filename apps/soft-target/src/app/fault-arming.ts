import type { FaultPoints } from '@lariat/kernel';
import { decodeObject, oneOf, opt, str, uint } from '../rpc/decode.js';
import { method, type MethodTable } from '../rpc/method.js';
import { AnswerLost, JsonRpcCode, RpcError } from '../rpc/rpc-error.js';

/** `hangup`: the client's connection is cut, and it never learns what has happened. */
const ACTIONS = ['kill', 'error', 'hangup'] as const;
type FaultAction = (typeof ACTIONS)[number];

interface ArmedFault {
  readonly action: FaultAction;
  passesLeft: number;
}

/** Faults that tests arm by RPC: each acts once, at its point. */
export class ArmedFaults implements FaultPoints {
  private readonly armed = new Map<string, ArmedFault>();

  constructor(private readonly killProcess: () => void) {}

  /** `after` passes of the point go by before it acts. */
  arm(point: string, action: FaultAction, after: number): void {
    this.armed.set(point, { action, passesLeft: after });
  }

  reach(point: string): void {
    const fault = this.armed.get(point);
    if (fault === undefined) return;
    if (fault.passesLeft > 0) {
      fault.passesLeft -= 1;
      return;
    }
    this.armed.delete(point);
    if (fault.action === 'kill') this.killProcess();
    if (fault.action === 'hangup') throw new AnswerLost();
    throw new RpcError(JsonRpcCode.internalError, `fault injected at ${point}`);
  }
}

/** Only offered when LARIAT_FAULTS=1: it lets any client of the socket kill the target. */
export function faultMethods(faults: ArmedFaults): MethodTable {
  return {
    lariat_fault_arm: method(
      decodeObject({ point: str, action: oneOf(...ACTIONS), after: opt(uint) }),
      ({ point, action, after = 0 }) => {
        faults.arm(point, action, after);
        return true;
      },
    ),
  };
}
