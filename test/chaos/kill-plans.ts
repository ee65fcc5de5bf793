import type { KillPlan } from './kill-at-every-position.js';
import {
  administerThrough,
  evacuateThrough,
  recoverThrough,
  removeNodeThrough,
} from './administration.js';
import { imageVolumeThrough } from './image-volume-life.js';
import { imageThrough } from './image-life.js';
import { imageOfVolumeThrough } from './image-of-volume-life.js';
import {
  changeThrough,
  changeThroughInUse,
  cloneThrough,
  groupThrough,
  liveThrough,
  liveThroughInUse,
  rebuildThrough,
  returnThrough,
} from './volume-life.js';

const LIFE_SAGAS = [
  ...['volume.create', 'volume.attach', 'volume.detach', 'volume.expand', 'volume.delete'],
  ...['snapshot.create', 'snapshot.revert', 'snapshot.delete', 'replica.checksum'],
];
const CHANGE_SAGAS = [
  ...['volume.scale', 'volume.update', 'volume.expand'],
  ...['replica.move', 'replica.remove', 'snapshot.verify'],
];
const NODES = ['node-agent-n1', 'node-agent-n2', 'node-agent-n3'];
const SERVICES = ['volume-svc', 'replica-svc'];

/** What is killed at journal positions, and where: sagas-covered.test.ts sees to it that no saga is missing. */
export const KILL_PLANS = {
  services: {
    nodes: 3,
    processes: SERVICES,
    sagas: LIFE_SAGAS,
    work: liveThrough,
    takes: (point) => point.startsWith('saga/'),
    // 8 sagas of 3 to 5 steps, before and after each.
    atLeast: 50,
  },
  agents: {
    nodes: 3,
    processes: ['node-agent-n1'],
    sagas: [],
    work: liveThrough,
    takes: (point) => point.startsWith('agent/'),
    // About 14 commands, three positions each.
    atLeast: 36,
  },
  changes: {
    nodes: 4,
    processes: SERVICES,
    sagas: CHANGE_SAGAS,
    work: changeThrough,
    takes: (point) => CHANGE_SAGAS.some((saga) => point.startsWith(`saga/${saga}/`)),
    atLeast: 50,
  },
  clone: {
    nodes: 3,
    processes: ['volume-svc', ...NODES],
    sagas: ['volume.clone'],
    work: cloneThrough,
    takes: (point) => /volume\.clone\/|agent\/replica\.(clone|adopt-scratch)/.test(point),
    atLeast: 18,
  },
  snapshotGroup: {
    nodes: 3,
    processes: ['volume-svc', ...NODES],
    sagas: ['snapshot.create-group'],
    work: groupThrough,
    takes: (point) =>
      /saga\/snapshot\.create-group\/|agent\/(snapshot\.create|engine\.(close|open)-gate)\//.test(
        point,
      ),
    // Three steps, before and after each, and commands to three nodes, three positions each.
    atLeast: 20,
    draws: 4,
  },
  imageVolumes: {
    nodes: 3,
    processes: ['volume-svc', 'replica-svc', 'backing-image-svc', ...NODES],
    sagas: ['volume.create', 'volume.clone', 'replica.move'],
    work: imageVolumeThrough,
    // Those that need no image are taken elsewhere.
    takes: (point) =>
      /saga\/[a-z.]+\/(place|fetch-image|create-replicas|copy|copy-replicas)\/|saga\/image\.spread\//.test(
        point,
      ) ||
      /agent\/(replica\.create|image\.[a-z-]+|rebuild\.(create-scratch|copy-snapshot))\//.test(
        point,
      ),
    atLeast: 40,
  },
  return: {
    nodes: 3,
    processes: ['replica-svc', ...NODES],
    sagas: ['replica.rebuild'],
    work: returnThrough,
    // Those that a rebuild elsewhere has too are taken there.
    takes: (point) =>
      /replica\.rebuild\/(reuse|match|copy|settle)|agent\/rebuild\.(retire|discard|prune|digest|read|copy-clusters|freeze|finish)/.test(
        point,
      ),
    atLeast: 20,
  },
  rebuild: {
    nodes: 4,
    processes: ['replica-svc', ...NODES, 'node-agent-n4'],
    sagas: ['replica.rebuild'],
    work: rebuildThrough,
    takes: (point) =>
      /replica\.re(build|move)\/|agent\/(rebuild\.|engine\.(add|remove)-leg)/.test(point),
    atLeast: 30,
  },
  administration: {
    nodes: 3,
    processes: [...SERVICES, 'node-agent-n1'],
    sagas: ['disk.add', 'disk.remove', 'orphan.delete', 'node.restart-target', 'cluster.recover'],
    work: administerThrough,
    // What empties a disk before it goes is taken by the next plan.
    takes: (point) =>
      /saga\/(disk\.add|disk\.remove\/(release|forget)|orphan\.delete|node\.restart-target|cluster\.recover)\/|agent\/(disk|orphan|target)\./.test(
        point,
      ),
    // Eight steps, before and after each, and four commands.
    atLeast: 26,
  },
  evacuation: {
    nodes: 4,
    processes: ['replica-svc'],
    sagas: ['node.drain', 'disk.remove'],
    work: evacuateThrough,
    takes: (point) => /saga\/(node\.drain|disk\.remove)\//.test(point),
    // Four steps and five, before and after each.
    atLeast: 18,
    // Each moves replicas twice.
    draws: 4,
  },
  nodeRemoval: {
    nodes: 3,
    processes: SERVICES,
    sagas: ['node.remove'],
    work: removeNodeThrough,
    // Each takes as long as a node must be silent.
    draws: 3,
    takes: (point) => point.startsWith('saga/node.remove/'),
    // Four steps, before and after each.
    atLeast: 8,
  },
  imageServiceInRecovery: {
    ...{ nodes: 3, victim: 'backing-image-svc' },
    processes: ['volume-svc'],
    sagas: ['cluster.recover'],
    work: recoverThrough,
    takes: (point) => point.startsWith('saga/cluster.recover/'),
    // One step, before and after.
    atLeast: 2,
  },
  images: {
    nodes: 3,
    processes: ['backing-image-svc', ...NODES],
    sagas: ['image.create', 'image.spread', 'image.verify', 'image.delete'],
    work: imageThrough,
    takes: (point) => /saga\/image\.|agent\/image\./.test(point),
    // Four sagas of four or five steps, before and after each, and six commands, three positions each.
    atLeast: 50,
  },
  imageSources: {
    nodes: 3,
    processes: ['volume-svc', 'backing-image-svc', ...NODES],
    sagas: ['image.create', 'snapshot.lend'],
    work: imageOfVolumeThrough,
    // What an import of anything passes is taken by the plan before.
    takes: (point) =>
      /saga\/(image\.create\/(borrow|import|return)|snapshot\.lend)\/|agent\/snapshot\.(create|delete|export|unexport)\//.test(
        point,
      ),
    // Four steps, before and after each, and commands to three nodes, three positions each.
    atLeast: 26,
  },
  natsInLife: {
    ...{ nodes: 3, victim: 'nats' },
    processes: [...SERVICES, 'node-agent-n1'],
    sagas: LIFE_SAGAS,
    work: liveThroughInUse,
    takes: (point) => /^(saga|agent)\//.test(point),
    // Those of the services, and those of the engine node's agent.
    atLeast: 86,
  },
  natsInChanges: {
    ...{ nodes: 4, victim: 'nats' },
    processes: [...SERVICES, 'node-agent-n1'],
    sagas: [...CHANGE_SAGAS, 'replica.rebuild'],
    work: changeThroughInUse,
    takes: (point) =>
      [...CHANGE_SAGAS, 'replica.rebuild'].some((saga) => point.startsWith(`saga/${saga}/`)) ||
      /agent\/(rebuild|engine|frontend)\./.test(point),
    atLeast: 60,
  },
  natsFrozen: {
    ...{ nodes: 3, victim: 'nats', work: liveThroughInUse },
    // Each takes long.
    draws: 3,
    // Longer than an instance, and than a node, may be silent before it is taken for dead.
    frozenMs: 10_000,
    processes: [...SERVICES, 'node-agent-n1'],
    sagas: LIFE_SAGAS,
    takes: (point) => /^(saga|agent)\//.test(point),
    atLeast: 86,
  },
} as const satisfies Readonly<Record<string, KillPlan>>;
