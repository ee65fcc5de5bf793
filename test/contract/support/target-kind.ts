import { programFile } from '@lariat/cli';

/** A program that the contract is held against. */
export interface TargetKind {
  readonly name: string;
  /** Why it cannot be run here; undefined when it can. */
  readonly missing: string | undefined;
  readonly command: (paths: TargetPaths) => readonly [string, ...string[]];
  /** Told of each process of it. */
  readonly started?: (pid: number | undefined) => void;
}

export interface TargetPaths {
  readonly rpcSocket: string;
  readonly stateDir: string;
  /** 0, 1, …: SPDK polls on one core each and needs shared memory of its own. */
  readonly index: number;
}

const softTargetMain = programFile('apps', 'soft-target', 'dist', 'main.js');

const ofSoftTarget = (name: string, personality: 'own' | 'stock'): TargetKind => ({
  name,
  missing: undefined,
  command: ({ rpcSocket, stateDir }) => [
    process.execPath,
    softTargetMain,
    '--rpc-socket',
    rpcSocket,
    '--state-dir',
    stateDir,
    '--log-level',
    'INFO',
    '--personality',
    personality,
  ],
});

export const softTarget = ofSoftTarget('soft-target', 'own');

/** What stands in for spdk_tgt where none is given: it has to differ from SPDK where soft-target itself may, and nowhere else. */
export const stockSoftTarget = ofSoftTarget('soft-target as stock SPDK', 'stock');

const spdkBinary = process.env['LARIAT_SPDK_TGT'];

const spdkTarget: TargetKind = {
  name: 'spdk_tgt',
  missing: spdkBinary === undefined ? 'LARIAT_SPDK_TGT names no spdk_tgt' : undefined,
  command: ({ rpcSocket, index }) => [
    spdkBinary ?? 'spdk_tgt',
    '--rpc-socket',
    rpcSocket,
    '--cpumask',
    `0x${(1 << (index % 2)).toString(16)}`,
    '--disable-cpumask-locks',
    '--shm-id',
    String(process.pid + index),
    '--no-huge',
    '--mem-size',
    '512',
    '--no-pci',
  ],
};

export const TARGET_KINDS: readonly TargetKind[] = [softTarget, spdkTarget];
