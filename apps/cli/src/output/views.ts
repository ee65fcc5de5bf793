import type {
  DiskView,
  NodeView,
  OperationView,
  PlacementPolicy,
  RebuildControl,
  RebuiltVolumeView,
  ReplicaView,
  SnapshotVerification,
  SnapshotView,
  VolumeQos,
  VolumeView,
} from '@lariat/contracts';
import { type ErrorRecord, formatBytes } from '@lariat/kernel';
import { formatAge, formatDuration } from './durations.js';
import { placementExplanationOf, placementTable } from './placement-table.js';
import { type Progress, formatAmount, formatPace } from './progress.js';
import { connectFields } from './nvme-connect.js';
import { formatFields, formatTable } from './table.js';

export function volumeTable(volumes: readonly VolumeView[]): string {
  return formatTable<VolumeView>(
    [
      { title: 'NAME', value: (volume) => volume.name },
      { title: 'STATE', value: (volume) => volume.state },
      { title: 'ROBUSTNESS', value: (volume) => volume.robustness },
      { title: 'SIZE', align: 'right', value: (volume) => formatBytes(volume.sizeBytes) },
      {
        title: 'REPLICAS',
        align: 'right',
        value: (volume) =>
          `${volume.replicas.filter((replica) => replica.mode === 'RW').length}/${volume.replicaCount}`,
      },
      { title: 'NODE', value: (volume) => volume.attachment?.node ?? '' },
      { title: 'ENDPOINT', value: (volume) => volume.attachment?.endpoint ?? '' },
      { title: 'AGE', align: 'right', value: (volume) => formatAge(volume.createdAt) },
    ],
    volumes,
  );
}

function contentText(content: VolumeView['content']): string {
  if (!('uuid' in content)) return content.state;
  const own = `${content.state} (${content.fsType} ${content.uuid})`;
  const inside = content.state === 'initialised' ? content.inside : undefined;
  return inside === undefined ? own : `${own}, inside ${contentText(inside)}`;
}

export function volumeDetails(volume: VolumeView): string {
  const { attachment } = volume;
  const labels = Object.entries(volume.labels).map(([key, value]) => `${key}=${value}`);
  const fields = formatFields([
    ['name', volume.name],
    ['id', volume.id],
    ['size', `${formatBytes(volume.sizeBytes)} (${volume.sizeBytes} bytes)`],
    ['state', volume.state],
    ['robustness', volume.robustness],
    ['in doubt', (volume.inDoubt ?? []).join('; ')],
    ['content', contentText(volume.content)],
    ['attached to', attachment === null ? '' : `${attachment.node} (${attachment.frontend})`],
    ['endpoint', attachment?.endpoint ?? ''],
    ...connectFields(attachment),
    ['epoch', attachment === null ? '' : String(attachment.epoch)],
    ['operation', volume.operation ?? ''],
    ['labels', labels.join(', ')],
    ['placement', placementText(volume.placement)],
    ['limits', limitsText(volume.qos)],
    ['image', volume.image ?? ''],
    [
      'cloned from',
      volume.source === null ? '' : `${volume.source.volume}@${volume.source.snapshot}`,
    ],
    [
      'clones',
      volume.clones
        .map(({ kind, name }) => (kind === undefined ? name : `${kind} ${name}`))
        .join(', '),
    ],
    ...(volume.rebuild === undefined ? [] : [['rebuilds', rebuildText(volume.rebuild)] as const]),
    ['created', volume.createdAt],
  ]);
  const inSync = new Set(attachment?.inSync);
  const replicas = formatTable<VolumeView['replicas'][number]>(
    [
      { title: 'REPLICA', value: (replica) => replica.id },
      { title: 'NODE', value: (replica) => replica.node },
      { title: 'DISK', value: (replica) => replica.disk },
      { title: 'MODE', value: (replica) => replica.mode },
      { title: 'STATE', value: (replica) => replica.state },
      {
        title: 'IN SYNC',
        value: (replica) => (attachment === null ? '' : inSync.has(replica.id) ? 'yes' : 'no'),
      },
      { title: 'REASON', value: (replica) => replica.reason ?? '' },
    ],
    volume.replicas,
  );
  return `${fields}\n\n${replicas}`;
}

function limitsText({ rwIops, rwMbps, readMbps, writeMbps }: VolumeQos): string {
  const told = (limit: number | null, unit: string): readonly string[] =>
    limit === null ? [] : [`${limit} ${unit} a second`];
  return [
    ...told(rwIops, 'I/Os'),
    ...told(rwMbps, 'MiB'),
    ...told(readMbps, 'MiB read'),
    ...told(writeMbps, 'MiB written'),
  ].join(', ');
}

function rebuildText({ paused, mibPerSecond }: RebuildControl): string {
  const limit = mibPerSecond === 0 ? 'no limit' : `at most ${mibPerSecond} MiB/s`;
  return [paused ? 'paused' : 'go on', ...(mibPerSecond === null ? [] : [limit])].join(', ');
}

function placementText({ node, zone, disk, nodeTags, diskTags }: PlacementPolicy): string {
  return [
    `apart by node ${node}, zone ${zone}, disk ${disk}`,
    ...(nodeTags.length === 0 ? [] : [`nodes tagged ${nodeTags.join(', ')}`]),
    ...(diskTags.length === 0 ? [] : [`disks tagged ${diskTags.join(', ')}`]),
  ].join('; ');
}

export function rebuiltDetails({ rebuilt, ...volume }: RebuiltVolumeView): string {
  const { replica, node, reused, keptSnapshots, copiedBytes } = rebuilt;
  const copied = `${formatBytes(copiedBytes)} copied`;
  const outcome = reused
    ? `${replica} on ${node} was brought up to date: ${keptSnapshots} of its snapshots kept, ${copied}`
    : `${replica} was made on ${node}: ${copied}`;
  return `${volumeDetails(volume)}\n\n${outcome}`;
}

export function nodeTable(nodes: readonly NodeView[]): string {
  const sum = (node: NodeView, pick: (disk: DiskView) => number): number =>
    node.disks.reduce((total, disk) => total + pick(disk), 0);
  return formatTable<NodeView>(
    [
      { title: 'NAME', value: (node) => node.name },
      {
        title: 'STATE',
        value: (node) => (node.schedulable ? node.state : `${node.state}, ${node.duty}`),
      },
      { title: 'SINCE', align: 'right', value: (node) => formatAge(node.since) },
      { title: 'TARGET', value: (node) => node.target },
      { title: 'ADDRESS', value: (node) => `${node.traddr}:${node.trsvcid}` },
      { title: 'DISKS', align: 'right', value: (node) => String(node.disks.length) },
      {
        title: 'CAPACITY',
        align: 'right',
        value: (node) => formatBytes(sum(node, (disk) => disk.capacityBytes)),
      },
      {
        title: 'PROMISED',
        align: 'right',
        value: (node) => formatBytes(sum(node, (disk) => disk.scheduledBytes)),
      },
      { title: 'REASON', value: (node) => (node.state === 'ready' ? '' : node.reason) },
    ],
    nodes,
  );
}

export function nodeDetails(node: NodeView): string {
  const fields = formatFields([
    ['name', node.name],
    ['state', `${node.state} since ${node.since}`],
    ['reason', node.reason],
    ['evidence', evidenceText(node.evidence)],
    ['takes new replicas and engines', node.schedulable ? 'yes' : `no: ${node.duty}`],
    ...(node.drain === undefined ? [] : [['drain', node.drain] as const]),
    ['zone', node.zone],
    ['tags', node.tags.join(', ')],
    ['address', `${node.traddr}:${node.trsvcid}`],
    ...frontendFields(node),
    ['target', node.target],
    ['agent', `${node.agentVersion} (${node.agentInstance})`],
  ]);
  return `${fields}\n\n${diskTable(node.disks)}`;
}

/** What a node can't do, with the reason: whoever asks for it would be told the same. */
function frontendFields({ frontends }: NodeView): readonly (readonly [string, string])[] {
  const offered = frontends.flatMap(({ frontend, available }) => (available ? [frontend] : []));
  return [
    ['frontends', offered.join(', ')],
    ...frontends
      .filter(({ available }) => !available)
      .map(({ frontend, reason }) => [`no '${frontend}'`, reason ?? ''] as const),
  ];
}

function evidenceText(evidence: NodeView['evidence']): string {
  if (evidence === undefined) return '';
  const { judge, heartbeat, missed } = evidence;
  if (heartbeat === null) return `told by ${judge}`;
  const { at, agentInstance, sequence } = heartbeat;
  const last = `the last heartbeat was number ${sequence} of ${agentInstance} at ${at}`;
  return `told by ${judge}: ${last}${missed === 0 ? '' : `, ${missed} missed since`}`;
}

const diskStateText = ({ state, schedulable }: DiskView): string =>
  schedulable ? state : `${state}, cordoned`;

function takesReplicas({ state, schedulable }: DiskView): string {
  if (!schedulable) return 'no: cordoned';
  return state === 'lost' ? 'no: lost' : 'yes';
}

export function diskTable(disks: readonly DiskView[]): string {
  return formatTable<DiskView>(
    [
      { title: 'DISK', value: (disk) => disk.id },
      { title: 'NODE', value: (disk) => disk.node },
      { title: 'NAME', value: (disk) => disk.name },
      { title: 'STATE', value: (disk) => diskStateText(disk) },
      { title: 'CAPACITY', align: 'right', value: (disk) => formatBytes(disk.capacityBytes) },
      { title: 'LIMIT', align: 'right', value: (disk) => formatBytes(disk.allocatableBytes) },
      { title: 'PROMISED', align: 'right', value: (disk) => formatBytes(disk.scheduledBytes) },
      { title: 'AVAILABLE', align: 'right', value: (disk) => formatBytes(disk.availableBytes) },
      { title: 'REPLICAS', align: 'right', value: (disk) => String(disk.replicas) },
      { title: 'TAGS', value: (disk) => disk.tags.join(',') },
      { title: 'PATH', value: (disk) => disk.path },
    ],
    disks,
  );
}

export function diskDetails(disk: DiskView): string {
  return formatFields([
    ['name', disk.name],
    ['id', disk.id],
    ['node', disk.node],
    ['path', disk.path],
    ['state', diskStateText(disk)],
    ...(disk.state === 'lost' ? [['reason', `${disk.reason}, since ${disk.since}`] as const] : []),
    ['takes new replicas', takesReplicas(disk)],
    ['tags', disk.tags.join(', ')],
    ['capacity', formatBytes(disk.capacityBytes)],
    ['reserved', formatBytes(disk.reservedBytes)],
    ['over-provisioning', `${disk.overProvisioningPercent} %`],
    ['limit', `${formatBytes(disk.allocatableBytes)} may be promised`],
    [
      'promised',
      `${formatBytes(disk.scheduledBytes)} to ${disk.replicas} replica(s), ${disk.images} image(s)`,
    ],
    ['available', formatBytes(disk.availableBytes)],
  ]);
}

export function snapshotTable(snapshots: readonly SnapshotView[]): string {
  const names = new Map(snapshots.map((snapshot) => [snapshot.id, snapshot.name]));
  return formatTable<SnapshotView>(
    [
      { title: 'NAME', value: (snapshot) => snapshot.name },
      { title: 'ID', value: (snapshot) => snapshot.id },
      { title: 'SIZE', align: 'right', value: (snapshot) => formatBytes(snapshot.sizeBytes) },
      {
        title: 'ON TOP OF',
        value: ({ parent }) => (parent === null ? '' : (names.get(parent) ?? parent)),
      },
      {
        title: 'MADE BY',
        value: (snapshot) => (snapshot.user ? 'user' : (snapshot.madeFor ?? 'rebuild')),
      },
      { title: 'AGE', align: 'right', value: (snapshot) => formatAge(snapshot.createdAt) },
    ],
    snapshots,
  );
}

const VERDICTS: Readonly<Record<SnapshotVerification['verdict'], string>> = {
  identical: 'identical',
  repaired: 'repaired: what was wrong is made anew',
  differs: 'NOT IDENTICAL; verify without --no-repair makes anew what is wrong',
  undecided: 'NOT IDENTICAL, and nothing tells which is right: all are left as they are',
};

export function verificationTable(reply: SnapshotVerification): string {
  const table = formatTable<SnapshotVerification['replicas'][number]>(
    [
      { title: 'REPLICA', value: (row) => row.replica },
      { title: 'NODE', value: (row) => row.node },
      { title: 'SHA-256', value: (row) => row.sha256 },
      { title: '', value: ({ isRight }) => (isRight === false ? 'WRONG' : '') },
    ],
    reply.replicas,
  );
  return `${table}\n\n${VERDICTS[reply.verdict]}`;
}

export function replicaTable(replicas: readonly ReplicaView[]): string {
  return formatTable<ReplicaView>(
    [
      { title: 'REPLICA', value: (replica) => replica.id },
      { title: 'NODE', value: (replica) => replica.node },
      { title: 'DISK', value: (replica) => replica.disk },
      { title: 'MODE', value: (replica) => replica.mode },
      { title: 'STATE', value: (replica) => replica.state },
      {
        title: 'REBUILD',
        value: ({ rebuild }) =>
          rebuild === null
            ? ''
            : formatAmount({
                done: rebuild.doneBytes,
                total: rebuild.totalBytes,
                unit: 'bytes',
              }),
      },
      { title: 'REASON', value: (replica) => replica.reason ?? '' },
    ],
    replicas,
  );
}

const durationOf = (operation: OperationView): string => {
  const endMs = operation.endedAt === null ? Date.now() : Date.parse(operation.endedAt);
  return formatDuration(Math.max(0, endMs - Date.parse(operation.startedAt)));
};

export function operationTable(operations: readonly OperationView[]): string {
  return formatTable<OperationView>(
    [
      { title: 'OPERATION', value: (operation) => operation.id },
      { title: 'KIND', value: (operation) => operation.kind },
      { title: 'SUBJECT', value: (operation) => operation.subject },
      { title: 'STATE', value: (operation) => operation.state },
      { title: 'STEP', value: (operation) => operation.step ?? '' },
      { title: 'TOOK', align: 'right', value: durationOf },
      { title: 'AGE', align: 'right', value: (operation) => formatAge(operation.startedAt) },
      {
        title: 'ERROR',
        value: (operation) => operation.error?.code ?? operation.lastError?.code ?? '',
      },
    ],
    operations,
  );
}

export function operationDetails(operation: OperationView): string {
  const { progress, error, lastError } = operation;
  const explanation = placementExplanationOf((error ?? lastError)?.details);
  const told = ({ code, message, details }: ErrorRecord): string =>
    `${code}: ${placementExplanationOf(details)?.summary ?? message}`;
  const fields = formatFields([
    ['operation', operation.id],
    ['kind', operation.kind],
    ['subject', operation.subject],
    ['state', operation.state],
    ['step', operation.step ?? ''],
    ['attempt', String(operation.attempt)],
    ['node', operation.node ?? ''],
    ['waits for', operation.waitingFor ?? ''],
    ['since', operation.since],
    ['cancellable', operation.cancellable ? `yes: lariat operation cancel ${operation.id}` : ''],
    ['progress', progress === null ? '' : progressText(progress)],
    ['last error', lastError === null ? '' : told(lastError)],
    ['next try', operation.nextTryAt ?? ''],
    ['error', error === null ? '' : told(error)],
    ['started', operation.startedAt],
    ['ended', operation.endedAt ?? ''],
    ['trace', operation.traceId],
  ]);
  return explanation === undefined ? fields : `${fields}\n\n${placementTable(explanation)}`;
}

const progressText = (progress: Progress): string =>
  [formatAmount(progress), formatPace(progress)].filter((part) => part !== '').join(', ');
