import { randomUUID } from 'node:crypto';
import { LariatError } from '@lariat/kernel';
import { Spdk, SpdkError, type RpcCaller } from '@lariat/spdk';
import type { TargetPort } from '../ports/target.port.js';

interface FakeLvol {
  uuid: string;
  name: string;
  store: string;
  sizeMib: number;
  parent: string | null;
  isSnapshot: boolean;
}

interface FakeSubsystem {
  nqn: string;
  anyHost: boolean;
  hosts: Set<string>;
  namespace: { bdev: string; uuid: string } | undefined;
  listens: boolean;
}

interface FakeRaid {
  uuid: string;
  bases: (string | null)[];
  /** Id of the gate that holds its I/O. */
  gate?: string;
}

export interface FakeController {
  subnqn: string;
  hostnqn: string;
  traddr: string;
  trsvcid: string;
  state: string;
  uuid: string;
}

type Params = Readonly<Record<string, unknown>>;

const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' ? value : undefined;

const EIO = -5;
const EINVAL = -22;
const ENODEV = -19;
const EPERM = -1;
const EEXIST = -17;
const ESTALE = -116;
const MIB = 1024 * 1024;

/**
 * As much of a target as the agent's handlers need, in memory; it keeps every call it got. It refuses what
 * SPDK refuses where a test relies on that.
 */
export class FakeTarget implements RpcCaller, TargetPort {
  readonly calls: { readonly method: string; readonly params: Params }[] = [];
  readonly lvols = new Map<string, FakeLvol>();
  readonly subsystems = new Map<string, FakeSubsystem>();
  readonly raids = new Map<string, FakeRaid>();
  readonly controllers = new Map<string, FakeController>();
  /** Names of the lvols whose clusters were copied elsewhere. */
  readonly copied: string[] = [];
  /** Of bdev_set_qos_limit, by bdev. */
  readonly limits = new Map<string, Params>();
  /** Namespace uuid that each NQN brings; one that is not here cannot be reached. */
  readonly reachable = new Map<string, string>();
  /** SHA-256 of clusters of an lvol; given where `methods` has the method. */
  digestsOf: (uuid: string, first: number, clusters: number) => Buffer = () => {
    throw new Refusal(EIO, 'Input/output error');
  };
  readonly stores = new Set(['disk-1']);
  readonly methods = new Set([
    'bdev_raid_grow_base_bdev',
    'lariat_bdev_quiesce',
    'lariat_raid_hold_losses',
  ]);
  readonly version = 'fake 1';
  instance = 'life-1';
  /** Size of every remote namespace. */
  remoteSizeMib = 8;
  /** Called before each method; what it throws is the call's outcome, nothing has happened then. */
  before: (method: string, params: Params) => void = () => undefined;
  /** Called after each method; what it throws is the call's outcome, though it has happened. */
  after: (method: string, params: Params) => void = () => undefined;
  private readonly api = new Spdk(this);

  spdk(): Spdk {
    return this.api;
  }

  supports(method: string): boolean {
    return this.methods.has(method);
  }

  /** The methods called that change something, in order. */
  changes(): readonly string[] {
    return this.calls.map(({ method }) => method).filter((method) => !/_get_|_check_/.test(method));
  }

  call(method: string, raw?: object): Promise<unknown> {
    const params = (raw ?? {}) as Params;
    const handler = this.handlers[method];
    try {
      this.before(method, params);
      this.calls.push({ method, params });
      if (handler === undefined) throw new SpdkError(method, -32601, 'Method not found');
      const result = handler(params);
      this.after(method, params);
      return Promise.resolve(result);
    } catch (reason) {
      const outcome = reason instanceof Refusal ? reason.of(method) : reason;
      return Promise.reject(outcome instanceof Error ? outcome : new Error(String(outcome)));
    }
  }

  private readonly handlers: Readonly<Record<string, (params: Params) => unknown>> = {
    bdev_lvol_create: (p) => {
      const lvol = this.addLvol(String(p['lvs_name']), String(p['lvol_name']), null);
      lvol.sizeMib = Number(p['size_in_mib']);
      return lvol.uuid;
    },
    bdev_lvol_snapshot: (p) => {
      const head = this.lvol(p['lvol_name']);
      const snapshot = this.addLvol(head.store, String(p['snapshot_name']), head.parent);
      snapshot.isSnapshot = true;
      snapshot.sizeMib = head.sizeMib;
      head.parent = snapshot.uuid;
      return snapshot.uuid;
    },
    bdev_lvol_clone: (p) => {
      const parent = this.lvol(p['snapshot_name']);
      const clone = this.addLvol(parent.store, String(p['clone_name']), parent.uuid);
      clone.sizeMib = parent.sizeMib;
      return clone.uuid;
    },
    bdev_lvol_delete: (p) => {
      const lvol = this.lvol(p['name']);
      const children = this.childrenOf(lvol.uuid);
      if (children.length > 1) throw new Refusal(EPERM, 'has clones');
      for (const child of children) child.parent = lvol.parent;
      this.lvols.delete(lvol.uuid);
      this.limits.delete(lvol.uuid);
      return true;
    },
    bdev_lvol_rename: (p) => {
      this.lvol(p['old_name']).name = String(p['new_name']);
      return true;
    },
    bdev_lvol_resize: (p) => {
      this.lvol(p['name']).sizeMib = Number(p['size_in_mib']);
      return true;
    },
    bdev_lvol_set_parent: (p) => {
      const lvol = this.lvol(p['lvol_name']);
      const parent = this.lvol(p['parent_name']);
      if (lvol.parent === parent.uuid) throw new Refusal(EEXIST, 'File exists');
      lvol.parent = parent.uuid;
      return true;
    },
    /** The namespace that a controller brings is no lvol of the store: the clone has no parent in it. */
    bdev_lvol_clone_bdev: (p) => {
      const clone = this.addLvol(String(p['lvs_name']), String(p['clone_name']), null);
      clone.sizeMib = this.remoteSizeMib;
      return clone.uuid;
    },
    bdev_lvol_start_shallow_copy: (p) => {
      const source = this.lvol(p['src_lvol_name']);
      if (!source.isSnapshot) throw new Refusal(EPERM, 'is not read-only');
      this.copied.push(source.name);
      return { operation_id: this.copied.length };
    },
    bdev_lvol_check_shallow_copy: () => ({
      state: 'complete',
      copied_clusters: 1,
      total_clusters: 1,
    }),
    bdev_lvol_get_lvols: (p) => {
      const store = textOf(p['lvs_name']);
      if (store !== undefined && !this.stores.has(store))
        throw new Refusal(ENODEV, 'No such device');
      return [...this.lvols.values()]
        .filter((lvol) =>
          store === undefined ? this.stores.has(lvol.store) : lvol.store === store,
        )
        .map((lvol) => ({
          alias: `${lvol.store}/${lvol.name}`,
          uuid: lvol.uuid,
          name: lvol.name,
          is_thin_provisioned: true,
          is_snapshot: lvol.isSnapshot,
          is_clone: lvol.parent !== null,
          is_esnap_clone: false,
          is_degraded: false,
          lvs: { uuid: 'store-uuid', name: lvol.store },
        }));
    },
    bdev_get_bdevs: (p) => {
      const name = textOf(p['name']);
      return name === undefined
        ? [...this.lvols.keys()].map((uuid) => this.bdev(uuid))
        : [this.bdev(name)];
    },
    bdev_lvol_get_lvstores: () =>
      [...this.stores].map((name) => ({
        uuid: `${name}-uuid`,
        name,
        base_bdev: `aio-${name}`,
        block_size: 4096,
        cluster_size: MIB,
        total_data_clusters: 1024,
        free_clusters: 1024,
      })),
    nvmf_get_subsystems: () =>
      [...this.subsystems.values()].map((subsystem) => ({
        nqn: subsystem.nqn,
        subtype: 'NVMe',
        allow_any_host: subsystem.anyHost,
        hosts: [...subsystem.hosts].map((nqn) => ({ nqn })),
        listen_addresses: subsystem.listens
          ? [{ trtype: 'TCP', traddr: '127.0.0.1', trsvcid: '4420' }]
          : [],
        namespaces:
          subsystem.namespace === undefined
            ? []
            : [
                {
                  nsid: 1,
                  bdev_name: subsystem.namespace.bdev,
                  uuid: subsystem.namespace.uuid,
                },
              ],
      })),
    nvmf_get_transports: () => [{ trtype: 'TCP' }],
    nvmf_create_subsystem: (p) => {
      const nqn = String(p['nqn']);
      if (this.subsystems.has(nqn)) throw new Refusal(-32602, 'Invalid parameters');
      this.subsystems.set(nqn, {
        nqn,
        anyHost: false,
        hosts: new Set(),
        namespace: undefined,
        listens: false,
      });
      return true;
    },
    nvmf_subsystem_remove_ns: (p) => {
      this.subsystem(p).namespace = undefined;
      return true;
    },
    nvmf_subsystem_add_ns: (p) => {
      const namespace = p['namespace'] as { bdev_name: string; uuid: string };
      this.subsystem(p).namespace = { bdev: namespace.bdev_name, uuid: namespace.uuid };
      return 1;
    },
    nvmf_subsystem_add_host: (p) => {
      this.subsystem(p).hosts.add(String(p['host']));
      return true;
    },
    nvmf_subsystem_remove_host: (p) => this.subsystem(p).hosts.delete(String(p['host'])),
    nvmf_subsystem_allow_any_host: (p) => {
      this.subsystem(p).anyHost = p['allow_any_host'] === true;
      return true;
    },
    nvmf_subsystem_add_listener: (p) => {
      this.subsystem(p).listens = true;
      return true;
    },
    nvmf_delete_subsystem: (p) => this.subsystems.delete(String(p['nqn'])),
    bdev_nvme_get_controllers: () =>
      [...this.controllers].map(([name, controller]) => ({
        name,
        ctrlrs: [
          {
            state: controller.state,
            trid: { ...controller, trtype: 'TCP' },
            cntlid: 1,
            host: { nqn: controller.hostnqn },
          },
        ],
      })),
    bdev_nvme_attach_controller: (p) => {
      const uuid = this.reachable.get(String(p['subnqn']));
      if (uuid === undefined) throw new Refusal(EIO, 'Input/output error');
      const [subnqn, hostnqn] = [String(p['subnqn']), String(p['hostnqn'])];
      const [traddr, trsvcid] = [String(p['traddr']), String(p['trsvcid'])];
      const name = String(p['name']);
      this.controllers.set(name, { subnqn, hostnqn, traddr, trsvcid, state: 'enabled', uuid });
      return [`${name}n1`];
    },
    bdev_nvme_detach_controller: (p) => {
      if (!this.controllers.delete(String(p['name']))) throw new Refusal(ENODEV, 'No such device');
      return true;
    },
    bdev_raid_get_bdevs: () =>
      [...this.raids].map(([name, raid]) => ({
        name,
        uuid: raid.uuid,
        state: raid.bases.some((base) => base !== null) ? 'online' : 'offline',
        raid_level: 'raid1',
        superblock: false,
        num_base_bdevs: raid.bases.length,
        num_base_bdevs_discovered: raid.bases.length,
        num_base_bdevs_operational: raid.bases.length,
        base_bdevs_list: raid.bases.map((base) => ({
          name: base,
          uuid: base === null ? '' : this.uuidOf(base),
          is_configured: base !== null,
        })),
      })),
    bdev_raid_create: (p) => {
      const name = String(p['name']);
      if (this.raids.has(name)) throw new Refusal(EEXIST, 'File exists');
      const bases = [...(p['base_bdevs'] as string[])];
      for (const base of bases) this.uuidOf(base);
      const isMirror = p['raid_level'] === 'raid1';
      if (isMirror && bases.length < 2 && !this.methods.has('bdev_raid_grow_base_bdev'))
        throw new Refusal(EINVAL, 'Invalid argument');
      this.raids.set(name, { uuid: String(p['uuid']), bases });
      return true;
    },
    bdev_raid_delete: (p) => {
      this.limits.delete(String(p['name']));
      for (const subsystem of this.subsystems.values())
        if (subsystem.namespace?.bdev === p['name']) subsystem.namespace = undefined;
      return this.raids.delete(String(p['name']));
    },
    bdev_raid_remove_base_bdev: (p) => {
      for (const raid of this.raids.values()) {
        raid.bases = raid.bases.map((base) => (base === p['name'] ? null : base));
      }
      return true;
    },
    bdev_raid_grow_base_bdev: (p) => {
      const raid = this.raids.get(String(p['raid_name']));
      const gate = p['gate_id'];
      if (gate !== undefined && raid?.gate !== gate) throw new Refusal(ESTALE, 'Gate expired');
      raid?.bases.push(String(p['base_name']));
      return true;
    },
    bdev_set_qos_limit: (p) => {
      const { name, ...limits } = p;
      if (!this.raids.has(String(name)) && !this.lvols.has(String(name)))
        throw new Refusal(ENODEV, 'No such device');
      this.limits.set(String(name), { ...this.limits.get(String(name)), ...limits });
      return true;
    },
    lariat_lvol_get_cluster_digests: (p) => {
      const { uuid, sizeMib } = this.lvol(p['name']);
      const first = Number(p['first_cluster']);
      const clusters = Math.min(Number(p['num_clusters']), sizeMib - first);
      const sha256 = this.digestsOf(uuid, first, clusters).toString('base64');
      return { cluster_size: MIB, num_clusters: clusters, sha256 };
    },
    lariat_bdev_quiesce: (p) => {
      const raid = this.raids.get(String(p['name']));
      if (raid !== undefined) raid.gate = String(p['gate_id']);
      return true;
    },
    lariat_bdev_unquiesce: (p) => {
      const raid = this.raids.get(String(p['name']));
      const held = raid?.gate === p['gate_id'];
      if (raid !== undefined && held) delete raid.gate;
      return { held };
    },
    lariat_raid_hold_losses: () => true,
    lariat_raid_confirm_losses: () => ({ unconfirmed: [] }),
  };

  private addLvol(store: string, name: string, parent: string | null): FakeLvol {
    for (const lvol of this.lvols.values()) {
      if (lvol.store === store && lvol.name === name) throw new Refusal(EEXIST, 'File exists');
    }
    const lvol = { uuid: randomUUID(), name, store, sizeMib: 1, parent, isSnapshot: false };
    this.lvols.set(lvol.uuid, lvol);
    return lvol;
  }

  /** By uuid, or by alias: `<store>/<lvol>`. */
  private lvol(reference: unknown): FakeLvol {
    const text = String(reference);
    const name = text.slice(text.indexOf('/') + 1);
    const lvol =
      this.lvols.get(text) ?? [...this.lvols.values()].find((other) => other.name === name);
    if (lvol !== undefined && !this.stores.has(lvol.store))
      throw new Refusal(ENODEV, 'No such device');
    if (lvol === undefined) throw new Refusal(ENODEV, 'No such device');
    return lvol;
  }

  private childrenOf(uuid: string): FakeLvol[] {
    return [...this.lvols.values()].filter((lvol) => lvol.parent === uuid);
  }

  private subsystem(params: Params): FakeSubsystem {
    const subsystem = this.subsystems.get(String(params['nqn']));
    if (subsystem === undefined) throw new Refusal(-32602, 'Invalid parameters');
    return subsystem;
  }

  private uuidOf(bdev: string): string {
    const controller = this.controllers.get(bdev.replace(/n1$/, ''));
    return controller?.uuid ?? this.lvol(bdev).uuid;
  }

  private sizeOf(bdev: string): number {
    const remote = this.controllers.has(bdev.replace(/n1$/, ''));
    return (remote ? this.remoteSizeMib : this.lvol(bdev).sizeMib) * MIB;
  }

  private raidBdev(name: string, { uuid, bases }: FakeRaid): object {
    const present = bases.flatMap((base) => (base === null ? [] : [this.sizeOf(base)]));
    return {
      name,
      aliases: [],
      uuid,
      product_name: 'Raid Volume',
      block_size: 4096,
      num_blocks: Math.min(...present) / 4096,
      claimed: false,
    };
  }

  private bdev(name: string): object {
    const raid = this.raids.get(name);
    if (raid !== undefined) return this.raidBdev(name, raid);
    const uuid = this.uuidOf(name);
    const lvol = this.lvols.get(uuid);
    const described = {
      name,
      aliases: lvol === undefined ? [] : [`${lvol.store}/${lvol.name}`],
      uuid,
      product_name: 'fake',
      block_size: 4096,
      num_blocks: ((lvol?.sizeMib ?? this.remoteSizeMib) * MIB) / 4096,
      claimed: false,
    };
    if (lvol === undefined) return described;
    return {
      ...described,
      driver_specific: {
        lvol: {
          lvol_store_uuid: 'store-uuid',
          base_bdev: 'aio-disk-1',
          thin_provision: true,
          num_allocated_clusters: 0,
          snapshot: lvol.isSnapshot,
          clone: lvol.parent !== null,
          ...(lvol.parent === null ? {} : { base_snapshot: this.lvols.get(lvol.parent)?.name }),
          clones: this.childrenOf(lvol.uuid).map((child) => child.name),
        },
      },
    };
  }
}

class Refusal extends Error {
  constructor(
    private readonly code: number,
    message: string,
  ) {
    super(message);
  }

  of(method: string): SpdkError {
    return new SpdkError(method, this.code, this.message);
  }
}

/** What a lost connection makes of a call. */
export function connectionLost(): LariatError {
  return new LariatError({
    kind: 'timeout',
    code: 'SPDK_CONNECTION_LOST',
    message: 'the outcome is unknown: the target closed the connection',
  });
}
