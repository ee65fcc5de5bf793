/** What `log_set_level` and `--log-level` take (lib/log/log.c), the most severe first. */
export const LOG_LEVELS = ['DISABLED', 'ERROR', 'WARNING', 'NOTICE', 'INFO', 'DEBUG'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export type LogFields = Readonly<Record<string, unknown>>;

/** One JSON line an event: a constant message, and what varies in fields. */
export interface Log {
  error(message: string, fields?: LogFields): void;
  warning(message: string, fields?: LogFields): void;
  notice(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
}

/** A log whose level RPCs can read and change. */
export interface LevelledLog extends Log {
  level: LogLevel;
  /** Whether each line has the `time` of its event. */
  hasTimestamps: boolean;
}

export function createLog(write: (line: string) => void, level: LogLevel = 'NOTICE'): LevelledLog {
  const emit = (at: LogLevel, message: string, fields: LogFields = {}): void => {
    if (LOG_LEVELS.indexOf(at) > LOG_LEVELS.indexOf(log.level)) return;
    const time = log.hasTimestamps ? { time: new Date().toISOString() } : {};
    write(`${JSON.stringify({ ...time, level: at, message, ...fields })}\n`);
  };
  const log: LevelledLog = {
    level,
    hasTimestamps: true,
    error: (message, fields) => emit('ERROR', message, fields),
    warning: (message, fields) => emit('WARNING', message, fields),
    notice: (message, fields) => emit('NOTICE', message, fields),
    info: (message, fields) => emit('INFO', message, fields),
    debug: (message, fields) => emit('DEBUG', message, fields),
  };
  return log;
}

/** Says nothing; for targets made by tests. */
export const silentLog: LevelledLog = createLog(() => undefined, 'DISABLED');
