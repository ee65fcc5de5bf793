import { availableParallelism } from 'node:os';
import { TICKS_PER_SECOND } from '../bdev/io-stat.js';
import { bool, decodeObject, noParams, opt, str } from '../rpc/decode.js';
import { method, type JsonObject, type MethodCall, type MethodTable } from '../rpc/method.js';
import { JsonRpcCode, RpcError } from '../rpc/rpc-error.js';

/** A part of the target as SPDK divides it, e.g. `bdev`. */
export interface TargetSubsystem {
  readonly name: string;
  readonly dependsOn: readonly string[];
  /** The calls that make a fresh target like this one, in their order. */
  readonly config: () => readonly MethodCall[];
}

/** The methods that SPDK has for the time before its start alone; here there is no such time. */
const STARTUP_ONLY = [
  'bdev_set_options',
  'framework_start_init',
  'iobuf_set_options',
  'nvmf_set_config',
  'nvmf_set_crdt',
  'nvmf_set_max_subsystems',
] as const;

export function isStartupOnly(name: string): boolean {
  return STARTUP_ONLY.some((each) => each === name);
}

const TOO_LATE =
  'Method may only be called before framework is initialized. Use --wait-for-rpc command line parameter and then issue this RPC before the framework_start_init RPC.';

/** Methods of lib/init/subsystem_rpc.c, lib/event/app_rpc.c and lib/event/app.c. */
export function frameworkMethods(subsystems: readonly TargetSubsystem[]): MethodTable {
  const startedAtMs = performance.now();
  return {
    // The socket listens only once the target is up, so there is nothing left to wait for.
    framework_wait_init: method(noParams, () => true),
    framework_get_subsystems: method(noParams, () =>
      subsystems.map(({ name, dependsOn }) => ({ subsystem: name, depends_on: dependsOn })),
    ),
    framework_get_config: method(
      // Nothing is configured in batches.
      decodeObject({ name: str, with_batches: opt(bool) }),
      ({ name }) => {
        const found = subsystems.find((each) => each.name === name);
        if (found === undefined) throw RpcError.invalidParams(`Subsystem '${name}' not found`);
        return found.config();
      },
    ),
    framework_get_reactors: method(noParams, () => ({
      tick_rate: TICKS_PER_SECOND,
      pid: process.pid,
      reactors: [reactor(startedAtMs)],
    })),
    // One thread that the kernel puts where it likes: SPDK calls that a static schedule.
    framework_get_scheduler: method(noParams, () => ({
      scheduler_name: 'static',
      scheduler_period: 0,
      isolated_core_mask: '0x0',
      scheduling_core: 0,
    })),
    framework_get_governor: method(noParams, () => ({})),
    ...Object.fromEntries(
      STARTUP_ONLY.map((name) => [
        name,
        method(
          () => undefined,
          () => {
            throw new RpcError(JsonRpcCode.invalidState, TOO_LATE);
          },
        ),
      ]),
    ),
  };
}

/** The event loop, as a reactor that sleeps when it has nothing to do. */
function reactor(startedAtMs: number): JsonObject {
  const { active, idle } = performance.eventLoopUtilization();
  const { user, system } = process.cpuUsage();
  return {
    lcore: 0,
    numa_id: 0,
    tid: process.pid,
    busy: Math.round(active * 1e6),
    idle: Math.round(idle * 1e6),
    in_interrupt: true,
    irq: 0,
    sys: Math.round(system / 1000),
    usr: Math.round(user / 1000),
    lw_threads: [
      {
        name: 'app_thread',
        id: 1,
        cpumask: `0x${((1n << BigInt(availableParallelism())) - 1n).toString(16)}`,
        elapsed: Math.round((performance.now() - startedAtMs) * 1e6),
      },
    ],
  };
}
