/** Every subject, stream and bucket name. No subject is spelled anywhere else. */
export const SUBJECT_PREFIX = 'lariat.v1';

export const requestSubject = (name: string): string => `${SUBJECT_PREFIX}.${name}`;
/** A request that only agents make: each on a subject of its own, so that none can speak for another node. */
export const nodeRequestSubject = (name: string, node: string): string =>
  `${requestSubject(name)}.${node}`;
export const eventSubject = (kind: string, id: string, type: string): string =>
  `${SUBJECT_PREFIX}.event.${kind}.${id}.${type}`;
/** Subject filter for events: `filter` is what follows `lariat.v1.event.`, with NATS wildcards. */
export const eventFilter = (filter: string): string => `${SUBJECT_PREFIX}.event.${filter}`;
/** A command to one node's agent, kept in the command stream until the agent has carried it out. */
export const commandSubject = (node: string, command: string): string =>
  `${SUBJECT_PREFIX}.node.${node}.${command}`;

/** Core NATS, nothing stored: heartbeats, inventories, progress, replies, spans. */
export const heartbeatSubject = (node: string): string => `${SUBJECT_PREFIX}.heartbeat.${node}`;
export const inventorySubject = (node: string): string => `${SUBJECT_PREFIX}.inventory.${node}`;
export const progressSubject = (node: string, operation: string): string =>
  `${SUBJECT_PREFIX}.progress.${node}.${operation}`;
/** Where a node answers a command. */
export const replySubject = (instance: string, node: string, token: string): string =>
  `${SUBJECT_PREFIX}.reply.${instance}.${node}.${token}`;
export const instanceSubject = (instance: string): string =>
  `${SUBJECT_PREFIX}.instance.${instance}`;
/** On which whoever uploads a file answers for its bytes. */
export const uploadSubject = (token: string): string => `${SUBJECT_PREFIX}.upload.${token}`;
/** The same for a file of a node, whose agent answers. */
export const nodeFileSubject = (node: string, token: string): string =>
  `${SUBJECT_PREFIX}.node-file.${node}.${token}`;
/** What plugins of others say and answer: `lariat.v1.plugin.<plugin>.<verb>`. */
export const pluginSubject = (rest: string): string => `${SUBJECT_PREFIX}.plugin.${rest}`;
/** On which tests arm faults, in processes that were started for it. */
export const FAULT_SUBJECT_PREFIX = `${SUBJECT_PREFIX}.test.fault`;
export const SPANS_SUBJECT = `${SUBJECT_PREFIX}.spans`;

/** Not below `lariat.v1.audit.`, where `audit.list` is a request. */
export const AUDIT_SUBJECT = `${SUBJECT_PREFIX}.audit-record`;

export const deadLetterSubject = (stream: string): string =>
  `${SUBJECT_PREFIX}.dead-letter.${stream}`;

export const STREAMS = {
  events: {
    name: 'LARIAT_EVENTS',
    subjects: [`${SUBJECT_PREFIX}.event.>`],
  },
  commands: {
    name: 'LARIAT_COMMANDS',
    // Commands have six tokens; `lariat.v1.node.list` and its like have four and are not captured.
    subjects: [`${SUBJECT_PREFIX}.node.*.*.*`],
  },
  deadLetters: {
    name: 'LARIAT_DEAD_LETTERS',
    // One by one: `lariat.v1.dead-letter.list` is a request.
    subjects: [deadLetterSubject('LARIAT_EVENTS'), deadLetterSubject('LARIAT_COMMANDS')],
  },
  audit: {
    name: 'LARIAT_AUDIT',
    subjects: [AUDIT_SUBJECT],
  },
  spans: {
    name: 'LARIAT_SPANS',
    subjects: [SPANS_SUBJECT],
  },
} as const;

/** KV buckets: one a kind of record; who writes each is in `roles.ts`. */
export const BUCKETS = {
  volumes: 'lariat-volumes',
  names: 'lariat-names',
  nodes: 'lariat-nodes',
  allocations: 'lariat-allocations',
  operations: 'lariat-operations',
  /** Ids of deleted volumes: what a node that was away still has of them may go. */
  deleted: 'lariat-deleted',
  images: 'lariat-images',
  imageNames: 'lariat-image-names',
  /** Ids of deleted images, for the same. */
  deletedImages: 'lariat-deleted-images',
  orphans: 'lariat-orphans',
  /** Which node had an lvol store last: kept when the node is removed, so that it is known when it is back. */
  stores: 'lariat-stores',
  /** Who holds which lease, and how far relays have come. */
  leases: 'lariat-leases',
  /** Which operation works on what. */
  subjects: 'lariat-subjects',
  /** Operations that are to be cancelled. */
  cancels: 'lariat-cancels',
} as const;
export type BucketName = (typeof BUCKETS)[keyof typeof BUCKETS];

/** The stream that a bucket is kept in, as NATS names it. */
export const bucketStream = (bucket: BucketName): string => `KV_${bucket}`;
/** The durable consumer of one node's commands. */
export const commandConsumer = (node: string): string => `agent-${node}`;

/** NATS headers. */
export const HEADERS = {
  traceparent: 'traceparent',
  requestId: 'Lariat-Request-Id',
  actor: 'Lariat-Actor',
  reply: 'Lariat-Reply',
  errorCode: 'Nats-Service-Error-Code',
  error: 'Nats-Service-Error',
  messageId: 'Nats-Msg-Id',
} as const;
