import { delay, type FaultPoints } from '@lariat/kernel';
import { AioBdev } from '../bdev/aio/aio-bdev.js';
import { aioMethods } from '../bdev/aio/aio-methods.js';
import { bdevConfig } from '../bdev/bdev-config.js';
import { bdevMethods } from '../bdev/bdev-methods.js';
import { gateMethods } from '../bdev/gates/gate-methods.js';
import { IoGates } from '../bdev/gates/io-gates.js';
import { lvolMethods } from '../bdev/lvol/lvol-methods.js';
import { LvolStores } from '../bdev/lvol/lvol-stores.js';
import { lvsMethods } from '../bdev/lvol/lvs-methods.js';
import { mallocMethods } from '../bdev/malloc/malloc-methods.js';
import { delayMethods } from '../bdev/overlay/delay-methods.js';
import { errorMethods } from '../bdev/overlay/error-methods.js';
import { raidMethods } from '../bdev/raid/raid-methods.js';
import { RaidModule } from '../bdev/raid/raid-module.js';
import { TargetBdevs } from '../bdev/registry.js';
import { nvmeMethods } from '../nvme/nvme-methods.js';
import { NvmeModule } from '../nvme/nvme-module.js';
import { nvmfConfig } from '../nvmf/nvmf-config.js';
import { nvmfMethods } from '../nvmf/nvmf-methods.js';
import { NvmfTarget } from '../nvmf/nvmf-target.js';
import type { MethodTable } from '../rpc/method.js';
import { RpcError } from '../rpc/rpc-error.js';
import { appMethods, type KillSignal } from './app-methods.js';
import { frameworkMethods } from './framework-methods.js';
import { logMethods } from './log-methods.js';
import type { LevelledLog } from './log.js';
import { notifyMethods } from './notifications.js';
import { methodsOf, minMirrorBasesOf, type Personality, versionOf } from './personality.js';

const DISCONNECT_TIMEOUT_MS = 3_000;

export interface TargetOptions {
  /** Folder of the target's own records, such as cluster maps; one target at a time. */
  readonly stateDir: string;
  readonly log: LevelledLog;
  readonly faults?: FaultPoints;
  /** 'own' when left out. */
  readonly personality?: Personality;
  /** For spdk_kill_instance; without it the method is refused, as in a target that shares its process. */
  readonly kill?: (signal: KillSignal) => void;
  readonly extraMethods?: MethodTable;
}

/** A software SPDK target without its socket. */
export interface SoftTarget {
  readonly methods: MethodTable;
  /** Disconnects all hosts, then leaves remote targets, then flushes and closes the disks. */
  close(): Promise<void>;
}

export async function createTarget(options: TargetOptions): Promise<SoftTarget> {
  const { log, stateDir, personality = 'own' } = options;
  const registry = new TargetBdevs();
  const stores = new LvolStores({ registry, stateDir, log });
  const gates = new IoGates();
  const raids = new RaidModule({ registry, log, minMirrorBases: minMirrorBasesOf(personality) });
  const nvmf = new NvmfTarget(registry, log);
  const nvme = new NvmeModule(registry, log);
  const methods: MethodTable = methodsOf(personality, {
    ...appMethods({
      version: versionOf(personality),
      methodNames: () => Object.keys(methods),
      kill: options.kill ?? refuseKill,
    }),
    ...frameworkMethods([
      {
        name: 'bdev',
        dependsOn: [],
        config: () => bdevConfig({ registry, raids, nvmeConfig: () => nvme.config() }),
      },
      { name: 'nvmf', dependsOn: ['bdev'], config: () => nvmfConfig(nvmf) },
    ]),
    ...logMethods(log),
    ...notifyMethods(registry),
    ...bdevMethods({ registry, examine: (bdev) => stores.examine(bdev) }),
    ...aioMethods({ registry }),
    ...mallocMethods({ registry }),
    ...delayMethods({ registry, log }),
    ...errorMethods({ registry, log }),
    ...lvsMethods({ stores }),
    ...lvolMethods({ registry, stores }),
    ...raidMethods({ registry, raids, gates }),
    ...gateMethods({ registry, gates }),
    ...nvmeMethods(nvme),
    ...nvmfMethods(nvmf),
    ...options.extraMethods,
  });
  return {
    methods,
    close: async () => {
      // In this order both legs of a mirror get what hosts have in flight; a remote target that does not
      // answer is waited for no longer than this.
      const disconnected = nvmf.close();
      raids.abandonHeldWrites();
      await Promise.race([disconnected, delay(DISCONNECT_TIMEOUT_MS)]);
      await nvme.close();
      await disconnected;
      await stores.close();
      await closeDisks(registry, log);
    },
  };
}

async function closeDisks(registry: TargetBdevs, log: LevelledLog): Promise<void> {
  for (const bdev of registry.list()) {
    await registry.remove(bdev);
    if (!(bdev instanceof AioBdev)) continue;
    try {
      if (!bdev.isReadOnly) await bdev.flush();
    } catch (error) {
      // The other disks are still to be closed; what this one has lost shows when it is next read.
      log.error('disk not flushed', { bdev: bdev.name, error: String(error) });
    }
    await bdev.close();
  }
}

function refuseKill(): never {
  throw RpcError.errno('ENOTSUP');
}
