import { bool, decodeObject, noParams, oneOf, str } from '../rpc/decode.js';
import { method, type MethodTable } from '../rpc/method.js';
import { JsonRpcCode, RpcError } from '../rpc/rpc-error.js';
import type { LevelledLog } from './log.js';

/** As log_level of SPDK's schema: the log is not switched off from outside. */
const SETTABLE_LEVELS = ['ERROR', 'WARNING', 'NOTICE', 'INFO', 'DEBUG'] as const;

/** The methods of lib/event/log_rpc.c. */
export function logMethods(log: LevelledLog): MethodTable {
  const setLevel = method(decodeObject({ level: oneOf(...SETTABLE_LEVELS) }), ({ level }) => {
    log.level = level;
    return true;
  });
  const getLevel = method(noParams, () => {
    if (log.level === 'DISABLED') {
      throw new RpcError(JsonRpcCode.internalError, 'invalid log level');
    }
    return log.level;
  });
  // "all" stands for every flag that there is, which is none: the level alone decides.
  const setFlag = method(decodeObject({ flag: str }), ({ flag }) => {
    if (flag !== 'all') throw RpcError.invalidParams('invalid log flag');
    return true;
  });
  return {
    log_set_level: setLevel,
    log_get_level: getLevel,
    // SPDK has one level for syslog and one for the console; here both are the one log.
    log_set_print_level: setLevel,
    log_get_print_level: getLevel,
    log_set_flag: setFlag,
    log_clear_flag: setFlag,
    log_get_flags: method(noParams, () => ({})),
    log_enable_timestamps: method(decodeObject({ enabled: bool }), ({ enabled }) => {
      log.hasTimestamps = enabled;
      return true;
    }),
  };
}
