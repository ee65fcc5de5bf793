import type { RpcCaller } from './json-rpc/spdk-client.js';
import { AppMethods } from './methods/app.js';
import { BdevMethods } from './methods/bdev.js';
import { LvolMethods } from './methods/lvol.js';
import { NvmeMethods } from './methods/nvme.js';
import { NvmfMethods } from './methods/nvmf.js';
import { RaidMethods } from './methods/raid.js';

/** SPDK's methods, typed, over one connection: `spdk.lvol.create({…})`. */
export class Spdk {
  readonly app: AppMethods;
  readonly bdev: BdevMethods;
  readonly lvol: LvolMethods;
  readonly raid: RaidMethods;
  readonly nvme: NvmeMethods;
  readonly nvmf: NvmfMethods;

  constructor(rpc: RpcCaller) {
    this.app = new AppMethods(rpc);
    this.bdev = new BdevMethods(rpc);
    this.lvol = new LvolMethods(rpc);
    this.raid = new RaidMethods(rpc);
    this.nvme = new NvmeMethods(rpc);
    this.nvmf = new NvmfMethods(rpc);
  }
}
