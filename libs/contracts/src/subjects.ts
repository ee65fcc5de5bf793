/** Every subject, stream and bucket name. No subject is spelled anywhere else. */
export const SUBJECT_PREFIX = 'lariat.v1';

export const requestSubject = (name: string): string => `${SUBJECT_PREFIX}.${name}`;
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
export const progressSubject = (operation: string): string =>
  `${SUBJECT_PREFIX}.progress.${operation}`;
export const replySubject = (instance: string, token: string): string =>
  `${SUBJECT_PREFIX}.reply.${instance}.${token}`;
export const instanceSubject = (instance: string): string =>
  `${SUBJECT_PREFIX}.instance.${instance}`;
/** On which whoever has a file, an uploader or a node's agent, answers for its bytes. */
export const uploadSubject = (token: string): string => `${SUBJECT_PREFIX}.upload.${token}`;
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

/** KV buckets: one a kind of record; each has one plugin that writes it. */
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
} as const;
export type BucketName = (typeof BUCKETS)[keyof typeof BUCKETS];

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

/** `Lariat-Actor` of what the cluster does by itself, asked by nobody: the names of its services. */
export const CLUSTER_ACTORS: ReadonlySet<string> = new Set([
  'volume-svc',
  'replica-svc',
  'backing-image-svc',
]);
