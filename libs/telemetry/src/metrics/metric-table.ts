/**
 * counter and histogram are told as it happens; gauge and total (a sum that only grows, kept by somebody else) are
 * asked for when they are sent.
 */
export type MetricKind = 'counter' | 'histogram' | 'gauge' | 'total';

export interface Metric {
  readonly name: string;
  /** As OpenTelemetry has them (UCUM): s, By, or a word in braces for a number of things. */
  readonly unit: string;
  readonly kind: MetricKind;
  /** Each measurement has all of them. Bounded: of ids only those of nodes, disks and attached volumes. */
  readonly attributes: readonly string[];
  readonly description: string;
}

/** Every metric that there is. Dashboards, alert rules and tests know no other names. */
export const METRICS = {
  requestDuration: {
    name: 'lariat.request.duration',
    unit: 's',
    kind: 'histogram',
    attributes: ['request', 'outcome'],
    description: 'Time from a request to its answer; outcome is ok or the kind of its error',
  },
  sagaDuration: {
    name: 'lariat.saga.duration',
    unit: 's',
    kind: 'histogram',
    attributes: ['saga.type', 'saga.outcome'],
    description: 'Time from an operation’s start to its end: completed, compensated or stuck',
  },
  stepDuration: {
    name: 'lariat.saga.step.duration',
    unit: 's',
    kind: 'histogram',
    attributes: ['saga.type', 'saga.step', 'direction', 'outcome'],
    description: 'Time of one run of a step, forward or back: done, retry or failed',
  },
  sagasRunning: {
    name: 'lariat.saga.running',
    unit: '{operation}',
    kind: 'gauge',
    attributes: ['saga.type'],
    description: 'Operations that this instance runs',
  },
  oldestSagaAge: {
    name: 'lariat.saga.oldest.age',
    unit: 's',
    kind: 'gauge',
    attributes: ['saga.type'],
    description: 'Since when the oldest of them runs',
  },
  commandDuration: {
    name: 'lariat.command.duration',
    unit: 's',
    kind: 'histogram',
    attributes: ['command', 'node.id', 'outcome'],
    description:
      'Time that an agent took to carry out a command; outcome is ok or the kind of its error',
  },
  redeliveries: {
    name: 'lariat.message.redeliveries',
    unit: '{message}',
    kind: 'counter',
    attributes: ['stream'],
    description: 'Messages that came again since nobody had settled them',
  },
  deadLetters: {
    name: 'lariat.message.dead_letters',
    unit: '{message}',
    kind: 'counter',
    attributes: ['stream'],
    description: 'Messages that could not be handled and were put aside',
  },
  queueDepth: {
    name: 'lariat.queue.depth',
    unit: '{message}',
    kind: 'gauge',
    attributes: ['stream', 'consumer'],
    description: 'Messages that wait for a consumer or are not settled yet',
  },
  queueAge: {
    name: 'lariat.queue.oldest.age',
    unit: 's',
    kind: 'gauge',
    attributes: ['stream', 'consumer'],
    description: 'Age of the oldest of them; 0 when there is none',
  },
  volumes: {
    name: 'lariat.volumes',
    unit: '{volume}',
    kind: 'gauge',
    attributes: ['state', 'robustness'],
    description: 'Volumes on record',
  },
  replicas: {
    name: 'lariat.replicas',
    unit: '{replica}',
    kind: 'gauge',
    attributes: ['state', 'mode'],
    description: 'Replicas of volumes on record',
  },
  nodes: {
    name: 'lariat.nodes',
    unit: '{node}',
    kind: 'gauge',
    attributes: ['node.id', 'state', 'duty'],
    description: '1 for each node, as what it is held for',
  },
  orphans: {
    name: 'lariat.orphans',
    unit: '{orphan}',
    kind: 'gauge',
    attributes: ['node.id', 'kind'],
    description: 'Things on nodes that nobody owns',
  },
  diskBytes: {
    name: 'lariat.disk.space',
    unit: 'By',
    kind: 'gauge',
    attributes: ['node.id', 'disk.id', 'of'],
    description:
      'Of a disk: capacity, allocatable (the most that may be promised), scheduled (what is)',
  },
  disks: {
    name: 'lariat.disks',
    unit: '{disk}',
    kind: 'gauge',
    attributes: ['node.id', 'state'],
    description: 'Disks of a node by state',
  },
  listItems: {
    name: 'lariat.list.items',
    unit: '{item}',
    kind: 'gauge',
    attributes: ['list'],
    description: 'Items that a list has, as this instance knows it',
  },
  listLag: {
    name: 'lariat.list.lag',
    unit: 's',
    kind: 'gauge',
    attributes: ['list'],
    description: 'For how long the oldest change that Redis lacks has waited; 0 without Redis',
  },
  listPages: {
    name: 'lariat.list.pages',
    unit: '{page}',
    kind: 'total',
    attributes: ['list', 'adapter'],
    description: 'Pages that this instance has answered from Redis, and from its own memory',
  },
  csiDuration: {
    name: 'lariat.csi.call.duration',
    unit: 's',
    kind: 'histogram',
    attributes: ['rpc.method', 'rpc.grpc.status_code'],
    description: 'Time that the CSI plugin took to answer a call',
  },
  rebuildBytes: {
    name: 'lariat.rebuild.copied',
    unit: 'By',
    kind: 'counter',
    attributes: ['node.id'],
    description: 'What rebuilds and resyncs have copied or zeroed, on the node that copies',
  },
  rpcDuration: {
    name: 'lariat.target.rpc.duration',
    unit: 's',
    kind: 'histogram',
    attributes: ['node.id', 'rpc.method', 'outcome'],
    description: 'Time of a call of the target; outcome is ok or error',
  },
  volumeIo: {
    name: 'lariat.volume.io',
    unit: 'By',
    kind: 'total',
    attributes: ['node.id', 'volume.id', 'direction'],
    description: 'Bytes read and written through the volume’s engine, since it was started',
  },
  volumeOperations: {
    name: 'lariat.volume.operations',
    unit: '{operation}',
    kind: 'total',
    attributes: ['node.id', 'volume.id', 'direction'],
    description: 'Reads and writes through the volume’s engine, since it was started',
  },
  volumeIoTime: {
    name: 'lariat.volume.io.time',
    unit: 's',
    kind: 'total',
    attributes: ['node.id', 'volume.id', 'direction'],
    description: 'Sum of the times of these reads and writes',
  },
  diskIo: {
    name: 'lariat.disk.io',
    unit: 'By',
    kind: 'total',
    attributes: ['node.id', 'disk.id', 'direction'],
    description: 'Bytes that the target has read from and written to a disk, since it was started',
  },
} as const satisfies Readonly<Record<string, Metric>>;

export type MetricName = keyof typeof METRICS;
type Table = typeof METRICS;
export type MetricOf<Kind extends MetricKind> = Extract<Table[MetricName], { kind: Kind }>;

const UNIT_SUFFIXES: Readonly<Record<string, string>> = { s: '_seconds', By: '_bytes' };

/** As Prometheus calls it, whether it is scraped or sent to it by OTLP; a histogram has `_bucket`, `_sum` and `_count`. */
export function prometheusName({ name, unit, kind }: Metric): string {
  const base = `${name.replaceAll('.', '_')}${UNIT_SUFFIXES[unit] ?? ''}`;
  return kind === 'counter' || kind === 'total' ? `${base}_total` : base;
}

export const prometheusLabel = (attribute: string): string => attribute.replaceAll('.', '_');
