import { bool, decodeObject, noParams, oneOf, opt } from '../rpc/decode.js';
import { method, type MethodTable } from '../rpc/method.js';
import { JsonRpcCode, RpcError } from '../rpc/rpc-error.js';
import type { LevelledLog } from './log.js';
import { TARGET_VERSION } from './version.js';

/** kill_signal of SPDK's schema, but SIGUSR1, at which Node would open a debugger. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP', 'SIGKILL'] as const;
export type KillSignal = (typeof SIGNALS)[number];

/** As log_level of SPDK's schema: the log is not switched off from outside. */
const SETTABLE_LEVELS = ['ERROR', 'WARNING', 'NOTICE', 'INFO', 'DEBUG'] as const;

export interface AppMethodsDeps {
  readonly log: LevelledLog;
  /** Names of all methods, asked for at each call. */
  readonly methodNames: () => readonly string[];
  /** Sends the signal to this process. */
  readonly kill: (signal: KillSignal) => void;
}

/** The methods of the process itself (lib/rpc/rpc.c, lib/event/app_rpc.c, lib/event/log_rpc.c). */
export function appMethods({ log, methodNames, kill }: AppMethodsDeps): MethodTable {
  const setLevel = method(decodeObject({ level: oneOf(...SETTABLE_LEVELS) }), ({ level }) => {
    log.level = level;
    return true;
  });
  const getLevel = method(noParams, () => log.level);
  return {
    spdk_get_version: method(noParams, () => TARGET_VERSION),
    rpc_get_methods: method(
      decodeObject({ current: opt(bool), include_aliases: opt(bool) }),
      methodNames,
    ),
    spdk_kill_instance: method(
      decodeObject({ sig_name: oneOf(...SIGNALS) }),
      ({ sig_name: signal }) => {
        kill(signal);
        return true;
      },
    ),
    // The socket listens only once the target is up, so there is nothing left to start or to wait for.
    framework_wait_init: method(noParams, () => true),
    framework_start_init: method(noParams, () => {
      throw new RpcError(JsonRpcCode.invalidState, 'The framework is initialized already.');
    }),
    log_set_level: setLevel,
    log_get_level: getLevel,
    // SPDK has one level for syslog and one for the console; here both are the one log.
    log_set_print_level: setLevel,
    log_get_print_level: getLevel,
  };
}
