#!/usr/bin/env node
import { setFlagsFromString } from 'node:v8';
import { ArmedFaults, faultMethods } from './app/fault-arming.js';
import { parseArguments, USAGE, UsageError, type TargetArguments } from './app/arguments.js';
import { createLog, type LevelledLog } from './app/log.js';
import { lockStateDir, StateDirInUse } from './app/state-dir-lock.js';
import { createTarget } from './app/target.js';
import { versionOf } from './app/personality.js';
import { checkCommand } from './check/check-command.js';
import { RpcSocketError, startRpcServer } from './rpc/rpc-server.js';

/** An orderly stop that takes longer is cut off: the cluster map is crash-safe, so nothing is lost. */
const STOP_TIMEOUT_MS = 10_000;

// V8 collects the 64 KiB pieces that sockets read into once they are 32 MiB, and counts them to the heap until then: with a
// limit of little more than the 8 MiB that live on it, it would mark all of the heap for every 12 MiB that arrive.
setFlagsFromString('--heap-growing-percent=400');

const log = createLog((line) => process.stderr.write(line));

// The data path outlives whoever started it and read its output.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);

// A target that has met a bug must not go on with what may be a wrong cluster map.
process.on('uncaughtException', (error) => {
  log.error('uncaught error; the target ends', { error: error.stack ?? error.message });
  process.exit(1);
});

try {
  const [command, ...rest] = process.argv.slice(2);
  if (command === '--version') process.stdout.write(`${versionOf('own').version}\n`);
  else if (command === 'check') process.exitCode = await checkCommand(rest, process);
  else await run(parseArguments(process.argv.slice(2)), log);
} catch (error) {
  if (error instanceof UsageError) {
    process.stderr.write(`soft-target: ${error.message}\n\n${USAGE}`);
    process.exit(2);
  }
  if (!(error instanceof RpcSocketError || error instanceof StateDirInUse)) throw error;
  process.stderr.write(`soft-target: ${error.message}\n`);
  process.exit(1);
}

async function run(
  { rpcSocket, stateDir, logLevel, personality }: TargetArguments,
  log: LevelledLog,
): Promise<void> {
  log.level = logLevel;
  const faults = new ArmedFaults(() => process.kill(process.pid, 'SIGKILL'));
  const lock = await lockStateDir(stateDir);
  const target = await createTarget({
    stateDir,
    log,
    faults,
    personality,
    kill: (signal) => process.kill(process.pid, signal),
    ...(process.env['LARIAT_FAULTS'] === '1' ? { extraMethods: faultMethods(faults) } : {}),
  });
  const server = await startRpcServer({
    socketPath: rpcSocket,
    methods: target.methods,
    log,
    faults,
  });

  const stop = async (signal: string): Promise<void> => {
    log.notice('stopping', { signal });
    setTimeout(() => {
      log.error('the stop took too long and is cut off', { timeoutMs: STOP_TIMEOUT_MS });
      process.exit(1);
    }, STOP_TIMEOUT_MS).unref();
    await server.close();
    await target.close();
    await lock.release();
    log.notice('stopped');
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const) {
    process.once(signal, () => void stop(signal));
  }
  // The terminal of whoever started it may close; the data path stays.
  process.on('SIGHUP', () => log.info('SIGHUP is passed over'));
  log.notice('serving', { rpcSocket, stateDir, pid: process.pid });
  process.stdout.write(
    `${JSON.stringify({ event: 'ready', pid: process.pid, rpcSocket, version: versionOf(personality).version })}\n`,
  );
}
