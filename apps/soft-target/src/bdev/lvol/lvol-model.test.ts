import { rejects } from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { MallocBdev } from '../malloc/malloc-bdev.js';
import {
  accountingErrors,
  makeTestFolder,
  startBdevStack,
  type BdevStack,
} from '../stack-fixture.js';
import { LayerModel } from './layer-model.js';
import { createClone, createLvol, deleteLvol, renameLvol, resizeLvol } from './lvol-lifecycle.js';
import { decoupleParent, inflateLvol, setParent, snapshotLvol } from './lvol-lineage.js';
import type { LvolStore } from './lvol-store.js';
import type { Lvol } from './lvol.js';

const BLOCK = 512;
const CLUSTER = 4096;
const ZEROS = Buffer.alloc(CLUSTER);
const DISK_CLUSTERS = 400;
const MAX_LVOLS = 14;
const MAX_SIZE = 7;

const OPS = [
  'write',
  'write',
  'write',
  'write',
  'zero',
  'zero',
  'create',
  'snapshot',
  'snapshot',
  'clone',
  'delete',
  'resize',
  'setParent',
  'decouple',
  'inflate',
  'rename',
  'reload',
] as const;
const stepArbitrary = fc.record({
  op: fc.constantFrom(...OPS),
  a: fc.nat(1_000_000),
  b: fc.nat(1_000_000),
  c: fc.nat(1_000_000),
});
type Step = typeof stepArbitrary extends fc.Arbitrary<infer T> ? T : never;

let cleanUp: (() => Promise<void>) | undefined;
afterEach(async () => cleanUp?.());

/** Lvols and their models, driven by the same steps. */
class Pair {
  readonly models = new Map<string, LayerModel>();
  private made = 0;

  private constructor(
    private readonly folder: string,
    private readonly disk: MallocBdev,
    private stack: BdevStack,
  ) {}

  static async start(folder: string): Promise<Pair> {
    const disk = new MallocBdev('disk', BLOCK, DISK_CLUSTERS * CLUSTER);
    await disk.write(0, Buffer.alloc(disk.sizeBytes, 0xdb));
    const stack = startBdevStack(folder);
    stack.registry.register(disk);
    await stack.stores.create({
      bdevName: 'disk',
      name: 'lvs',
      clusterSizeBytes: CLUSTER,
      overwrite: true,
    });
    return new Pair(folder, disk, stack);
  }

  get store(): LvolStore {
    const store = this.stack.stores.findByName('lvs');
    if (store === undefined) throw new Error('the store is not open');
    return store;
  }

  async step({ op, a, b, c }: Step): Promise<void> {
    if (op === 'reload') return this.reload();
    if (op === 'create') return this.create(1 + (b % MAX_SIZE), c % 4 !== 0);
    const model = [...this.models.values()][a % Math.max(1, this.models.size)];
    if (model === undefined) return this.create(1 + (b % MAX_SIZE), true);
    const lvol = this.lvol(model.name);
    const full = this.models.size >= MAX_LVOLS;
    switch (op) {
      case 'write':
      case 'zero': {
        if (model.isReadOnly) return;
        const blocks = (model.sizeClusters * CLUSTER) / BLOCK;
        const whole = c % 3 === 0;
        const first = whole ? Math.floor((b % blocks) / 8) * 8 : b % blocks;
        const count = whole ? 8 * (1 + (c % 2)) : 1 + (c % 20);
        const length = Math.min(count, blocks - first) * BLOCK;
        if (op === 'write') {
          const data = Buffer.alloc(length, 1 + (c % 250));
          model.write(first * BLOCK, data);
          await this.store.io.write(lvol, first * BLOCK, data);
        } else {
          model.zero(first * BLOCK, length);
          await this.store.io.zero(lvol, first * BLOCK, length);
        }
        return;
      }
      case 'snapshot': {
        if (model.isReadOnly || full) return;
        const name = this.newName();
        await snapshotLvol(this.store, lvol, name);
        this.models.set(name, model.snapshot(name));
        return;
      }
      case 'clone': {
        if (!model.isReadOnly || full) return;
        const name = this.newName();
        await createClone(this.store, lvol, name);
        this.models.set(name, model.clone(name));
        return;
      }
      case 'delete': {
        if (model.clones.size > 1) {
          await rejects(deleteLvol(this.store, lvol), /not permitted/);
          return;
        }
        await deleteLvol(this.store, lvol);
        model.mergeIntoClone();
        this.models.delete(model.name);
        return;
      }
      case 'resize': {
        const size = 1 + (b % MAX_SIZE);
        if (model.isReadOnly) return;
        await resizeLvol(this.store, lvol, size * CLUSTER);
        model.resize(size);
        return;
      }
      case 'setParent': {
        const snapshots = [...this.models.values()].filter(
          (each) => each.isSnapshot && each.sizeClusters === model.sizeClusters,
        );
        const parent = snapshots[b % Math.max(1, snapshots.length)];
        if (parent === undefined || parent === model.parent) return;
        const call = setParent(this.store, lvol, this.lvol(parent.name));
        if (parent.isOn(model) || !model.isThin) {
          await rejects(call, /Invalid argument/);
          return;
        }
        await call;
        model.rebase(parent);
        return;
      }
      case 'decouple': {
        if (model.parent === undefined) return;
        await decoupleParent(this.store, lvol);
        decoupleModel(model, model.parent);
        return;
      }
      case 'inflate': {
        if (!model.isThin) return;
        await inflateLvol(this.store, lvol);
        const content = model.content();
        model.rebase(undefined);
        model.own.clear();
        model.write(0, content);
        model.isThin = false;
        return;
      }
      case 'rename': {
        const name = this.newName();
        await renameLvol(this.store, lvol, name);
        const renamed = Object.assign(model, { name });
        this.models.delete([...this.models].find(([, each]) => each === model)?.[0] ?? '');
        this.models.set(name, renamed);
        return;
      }
    }
  }

  async reload(): Promise<void> {
    await this.stack.close();
    this.stack = startBdevStack(this.folder);
    this.stack.registry.register(this.disk);
    await this.stack.registry.examined();
  }

  /** Every way in which the lvols are not as their models; none when they are. */
  async differences(): Promise<readonly string[]> {
    const found = [...accountingErrors(this.store)];
    const names = [...this.store.lvols.values()].map(({ name }) => name).toSorted();
    const wanted = [...this.models.keys()].toSorted();
    if (names.join() !== wanted.join()) found.push(`there are ${names.join()}`);
    for (const [name, model] of this.models) {
      const bdev = this.stack.registry.find(`lvs/${name}`);
      const size = model.sizeClusters * CLUSTER;
      if (bdev?.sizeBytes !== size) found.push(`${name} has ${bdev?.sizeBytes} bytes`);
      else if (!(await bdev.read(0, size)).equals(model.content())) found.push(`${name} differs`);
      const digests = await this.stack.call('lariat_lvol_get_cluster_digests', {
        ...{ name: `lvs/${name}`, first_cluster: 0, num_clusters: 64 },
      });
      const clusters = Array.from(
        { length: model.sizeClusters },
        (_, c) => model.source(c) ?? ZEROS,
      );
      const sha256 = Buffer.concat(
        clusters.map((bytes) => createHash('sha256').update(bytes).digest()),
      ).toString('base64');
      if ((digests as { sha256: string }).sha256 !== sha256)
        found.push(`${name} has other digests`);
    }
    return found;
  }

  async close(): Promise<void> {
    await this.stack.close();
  }

  private async create(sizeClusters: number, isThin: boolean): Promise<void> {
    if (this.models.size >= MAX_LVOLS) return;
    const name = this.newName();
    await createLvol(this.store, name, sizeClusters * CLUSTER, isThin);
    const model = new LayerModel(name, CLUSTER, sizeClusters);
    model.isThin = isThin;
    this.models.set(name, model);
  }

  private lvol(name: string): Lvol {
    const lvol = this.store.findByName(name);
    if (lvol === undefined) throw new Error(`${name} is missing`);
    return lvol;
  }

  private newName(): string {
    this.made += 1;
    return `v${this.made}`;
  }
}

/** The child takes what its parent has of its own, and what the parent hides stays hidden. */
function decoupleModel(model: LayerModel, parent: LayerModel): void {
  for (let c = 0; c < model.sizeClusters; c += 1) {
    if (model.own.has(c)) continue;
    const own = parent.own.get(c);
    const hides = c >= parent.sizeClusters && parent.parent?.source(c) !== undefined;
    if (own !== undefined) model.own.set(c, own === 'zeros' ? own : Buffer.from(own));
    else if (hides) model.own.set(c, 'zeros');
  }
  model.rebase(parent.parent);
}

test('lvols on a dirty disk read as a plain model of layers, and their space adds up', async () => {
  const held = fc.assert(
    fc.asyncProperty(fc.array(stepArbitrary, { minLength: 5, maxLength: 60 }), async (steps) => {
      const [folder, remove] = await makeTestFolder();
      cleanUp = remove;
      const pair = await Pair.start(folder);
      try {
        for (const step of steps) await pair.step(step);
        expect(await pair.differences()).toEqual([]);
        await pair.reload();
        expect(await pair.differences()).toEqual([]);
      } finally {
        await pair.close();
        await remove();
      }
    }),
    { numRuns: 200 },
  );
  await expect(held).resolves.toBeUndefined();
}, 120_000);
