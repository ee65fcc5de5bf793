import { bool, decodeObject, noParams, oneOf, opt } from '../rpc/decode.js';
import { method, type MethodTable } from '../rpc/method.js';
import { isStartupOnly } from './framework-methods.js';
import type { TargetVersion } from './version.js';

/** kill_signal of SPDK's schema, but SIGUSR1, at which Node would open a debugger. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP', 'SIGKILL'] as const;
export type KillSignal = (typeof SIGNALS)[number];

export interface AppMethodsDeps {
  readonly version: TargetVersion;
  /** Names of all methods, asked for at each call. */
  readonly methodNames: () => readonly string[];
  /** Sends the signal to this process. */
  readonly kill: (signal: KillSignal) => void;
}

/** The methods of the process itself (lib/rpc/rpc.c, lib/event/app_rpc.c). */
export function appMethods({ version, methodNames, kill }: AppMethodsDeps): MethodTable {
  return {
    spdk_get_version: method(noParams, () => version),
    rpc_get_methods: method(
      decodeObject({ current: opt(bool), include_aliases: opt(bool) }),
      ({ current = false }) => methodNames().filter((name) => !current || !isStartupOnly(name)),
    ),
    spdk_kill_instance: method(
      decodeObject({ sig_name: oneOf(...SIGNALS) }),
      ({ sig_name: signal }) => {
        kill(signal);
        return true;
      },
    ),
  };
}
