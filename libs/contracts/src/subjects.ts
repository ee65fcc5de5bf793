import { SERVICE_NAMES } from '@lariat/bus';

/** The names on the bus stand beside who may use them; here they are for who speaks the language. */
export {
  AUDIT_SUBJECT,
  BUCKETS,
  type BucketName,
  HEADERS,
  SPANS_SUBJECT,
  STREAMS,
  SUBJECT_PREFIX,
  commandConsumer,
  commandSubject,
  deadLetterSubject,
  eventFilter,
  eventSubject,
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
} from '@lariat/bus';

/** `Lariat-Actor` of what the cluster does by itself, asked by nobody: the names of its services. */
export const CLUSTER_ACTORS: ReadonlySet<string> = new Set(SERVICE_NAMES);
