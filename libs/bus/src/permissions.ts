import {
  CSI_NODE_REQUESTS,
  CSI_REQUESTS,
  NODE_REQUESTS,
  READ_REQUESTS,
  REQUESTS,
  REQUEST_NAMES,
  type ServiceName,
  isInternal,
  isNodeRequest,
} from './request-names.js';
import {
  BUCKET_NAMES,
  BUCKET_WRITERS,
  type BusRole,
  OTHERS_INBOX,
  USERS_INBOX,
  inboxOf,
} from './roles.js';
import {
  AUDIT_SUBJECT,
  FAULT_SUBJECT_PREFIX,
  SPANS_SUBJECT,
  STREAMS,
  bucketStream,
  commandConsumer,
  deadLetterSubject,
  eventFilter,
  heartbeatSubject,
  instanceSubject,
  inventorySubject,
  nodeFileSubject,
  nodeRequestSubject,
  pluginSubject,
  progressSubject,
  replySubject,
  requestSubject,
  uploadSubject,
} from './subjects.js';

/** What NATS lets a role do; what is not listed it refuses. */
export interface Permissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
  /** May answer whatever it is sent, once, wherever the answer is wanted. */
  readonly answers: boolean;
}

/** For tests: processes that let faults be armed. */
export interface PermissionOptions {
  readonly faults?: boolean;
}

export function permissionsOf(role: BusRole, options: PermissionOptions = {}): Permissions {
  const permissions = ofRole(role);
  if (options.faults !== true || role.kind === 'admin') return permissions;
  return { ...permissions, subscribe: [...permissions.subscribe, `${FAULT_SUBJECT_PREFIX}.>`] };
}

function ofRole(role: BusRole): Permissions {
  switch (role.kind) {
    case 'service':
      return ofService(role);
    case 'agent':
      return ofAgent(role);
    case 'csi':
      return asking(role, CSI_REQUESTS);
    case 'csi-node':
      return asking(role, CSI_NODE_REQUESTS);
    case 'api':
      return ofUsers(role);
    case 'plugin':
      return ofPlugins(role);
    case 'admin':
      return { publish: ['>'], subscribe: ['>'], answers: false };
  }
}

const API = '$JS.API';
const JETSTREAM_INFO = `${API}.INFO`;
const ALL_STREAMS = Object.values(STREAMS).map(({ name }) => name);

/** What is stored comes wrapped in JetStream's own answer: nobody can have it sent to others as if it were a request. */
const lookInto = (stream: string): readonly string[] => [
  `${API}.STREAM.INFO.${stream}`,
  `${API}.STREAM.MSG.GET.${stream}`,
];

/** A durable consumer that somebody else has made. */
const consume = (stream: string, consumer: string): readonly string[] => [
  `${API}.CONSUMER.INFO.${stream}.${consumer}`,
  `${API}.CONSUMER.MSG.NEXT.${stream}.${consumer}`,
  `$JS.ACK.${stream}.${consumer}.>`,
];

/**
 * Makes consumers too. For services alone: JetStream delivers to whatever subject a consumer names and asks nobody whether
 * its maker may publish there.
 */
const workWith = (stream: string): readonly string[] => [
  ...lookInto(stream),
  `${API}.STREAM.CREATE.${stream}`,
  `${API}.DIRECT.GET.${stream}`,
  `${API}.DIRECT.GET.${stream}.>`,
  `${API}.CONSUMER.*.${stream}`,
  `${API}.CONSUMER.*.${stream}.>`,
  `${API}.CONSUMER.DURABLE.CREATE.${stream}.>`,
  `${API}.CONSUMER.MSG.NEXT.${stream}.>`,
  `$JS.ACK.${stream}.>`,
  `$JS.FC.${stream}.>`,
];

const discoveredAs = (service: string): readonly string[] => [
  '$SRV.*',
  `$SRV.*.${service}`,
  `$SRV.*.${service}.*`,
];

function ofService(role: BusRole & { readonly kind: 'service' }): Permissions {
  const { service } = role;
  const own = BUCKET_NAMES.filter((bucket) => [service, 'all'].includes(BUCKET_WRITERS[bucket]));
  return {
    publish: [
      ...REQUEST_NAMES.filter((name) => !isNodeRequest(name)).map(requestSubject),
      ...STREAMS.events.subjects,
      ...STREAMS.commands.subjects,
      ...STREAMS.deadLetters.subjects,
      ...[AUDIT_SUBJECT, SPANS_SUBJECT],
      instanceSubject('*'),
      ...(service === 'backing-image-svc' ? [uploadSubject('*'), nodeFileSubject('*', '*')] : []),
      ...own.map((bucket) => `$KV.${bucket}.>`),
      JETSTREAM_INFO,
      ...ALL_STREAMS.map((stream) => `${API}.STREAM.UPDATE.${stream}`),
      ...[...ALL_STREAMS, ...BUCKET_NAMES.map(bucketStream)].flatMap(workWith),
      // Answers, which take as long as what was asked for.
      ...[`${USERS_INBOX}.>`, `${OTHERS_INBOX}.>`],
    ],
    subscribe: [
      `${inboxOf(role)}.>`,
      ...REQUESTS[service].map(heardOn),
      replySubject('*', '*', '*'),
      ...[heartbeatSubject('*'), inventorySubject('*'), progressSubject('*', '*')],
      instanceSubject('*'),
      ...discoveredAs(service),
    ],
    answers: false,
  };
}

const heardOn = (name: (typeof REQUESTS)[ServiceName][number]): string =>
  isNodeRequest(name) ? nodeRequestSubject(name, '*') : requestSubject(name);

/** The name that all agents have as a service of NATS. */
export const AGENT_SERVICE = 'lariat-node-agent';

function ofAgent(role: BusRole & { readonly kind: 'agent' }): Permissions {
  const { node } = role;
  const commands = STREAMS.commands.name;
  return {
    publish: [
      ...NODE_REQUESTS.map((name) => nodeRequestSubject(name, node)),
      ...[heartbeatSubject(node), inventorySubject(node), progressSubject(node, '*')],
      replySubject('*', node, '*'),
      deadLetterSubject(commands),
      SPANS_SUBJECT,
      JETSTREAM_INFO,
      ...consume(commands, commandConsumer(node)),
    ],
    subscribe: [`${inboxOf(role)}.>`, nodeFileSubject(node, '*'), ...discoveredAs(AGENT_SERVICE)],
    answers: true,
  };
}

const asking = (role: BusRole, requests: readonly string[]): Permissions => ({
  publish: [...requests.map(requestSubject), SPANS_SUBJECT],
  subscribe: [`${inboxOf(role)}.>`],
  answers: false,
});

function ofUsers(role: BusRole): Permissions {
  const { publish, subscribe } = asking(
    role,
    REQUEST_NAMES.filter((name) => !isInternal(name)),
  );
  return {
    publish: [
      ...publish,
      pluginSubject('>'),
      ...['$SRV.*', '$SRV.*.>'],
      JETSTREAM_INFO,
      ...[STREAMS.events.name, STREAMS.spans.name].flatMap(lookInto),
    ],
    subscribe: [...subscribe, eventFilter('>'), pluginSubject('>'), uploadSubject('*')],
    answers: true,
  };
}

function ofPlugins(role: BusRole): Permissions {
  const { publish, subscribe } = asking(role, READ_REQUESTS);
  return {
    publish: [
      ...publish,
      requestSubject('internal.event.open-consumer'),
      pluginSubject('>'),
      deadLetterSubject(STREAMS.events.name),
      JETSTREAM_INFO,
      ...lookInto(STREAMS.events.name),
      ...consume(STREAMS.events.name, '*'),
    ],
    subscribe: [
      ...subscribe,
      eventFilter('>'),
      pluginSubject('>'),
      ...['$SRV.*', '$SRV.*.*', '$SRV.*.*.*'],
    ],
    answers: true,
  };
}
