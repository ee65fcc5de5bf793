import { lariatError, type CommandEnvelope, type CommandName } from '@lariat/contracts';
import type { LariatError } from '@lariat/kernel';

type Fields = Readonly<Record<string, unknown>>;

/** They read a snapshot whole, through one and the same export. */
const READS_SNAPSHOT: ReadonlySet<string> = new Set([
  'replica.checksum',
  'rebuild.digest-snapshot',
  'rebuild.read-digests',
]);

/** Writing a copy is one lane; what must not wait for it has its own. */
const IMAGE_LANES: Readonly<Record<string, string>> = {
  'image.digest-copy': 'image-read',
  'image.read-digests': 'image-read',
  'image.export-copy': 'image-export',
  'image.unexport-copy': 'image-export',
  // Ends a fetch that is under way, by taking away what it writes to.
  'image.delete-copy': 'image-delete',
};

function textField(input: unknown, name: string): string {
  const value = (input as Fields | undefined)?.[name];
  return typeof value === 'string' ? value : '';
}

/**
 * Commands with the same key run one after the other. Engine and frontend commands go by volume; commands on
 * lvols by replica, so that a long copy never holds up the engine; the longest ones have a lane of their own.
 */
export function queueKey(command: CommandName, input: unknown): string {
  const noun = command.slice(0, command.indexOf('.'));
  if (noun === 'engine' || noun === 'frontend') return `volume/${textField(input, 'volume')}`;
  if (noun === 'target') return 'target';
  if (noun === 'disk') return `disk/${textField(input, 'disk')}`;
  if (noun === 'record') return `record/${textField((input as Fields)['record'], 'id')}`;
  if (noun === 'image') {
    const copy = `${textField(input, 'image')}/${textField(input, 'disk')}`;
    return `${IMAGE_LANES[command] ?? 'image'}/${copy}`;
  }
  if (noun === 'orphan') return orphanLane(textField(input, 'kind'), textField(input, 'name'));
  const replica = textField(input, 'replica');
  if (command === 'rebuild.copy-snapshot') return `copy/${replica}`;
  const snapshot = textField(input, 'snapshot');
  if (READS_SNAPSHOT.has(command) && snapshot !== '') return `checksum/${replica}/${snapshot}`;
  if (command === 'rebuild.copy-clusters') return `copy-clusters/${replica}`;
  return `replica/${replica}`;
}

/** With the commands on the replica that it may come to belong to; what is no lvol has a lane of its own. */
function orphanLane(kind: string, name: string): string {
  if (kind === 'replica') return `replica/${name}`;
  if (kind !== 'lvol') return `orphan/${kind}/${name}`;
  const lvolName = name.slice(name.indexOf('/') + 1);
  return `replica/${lvolName.split('.', 1)[0] ?? ''}`;
}

const EPOCH_NOUNS: ReadonlySet<string> = new Set(['engine', 'frontend']);

/** The volume and epoch that a command speaks for; undefined when it has none. */
export function epochOf(
  command: CommandName,
  input: unknown,
): { readonly volume: string; readonly epoch: number } | undefined {
  const noun = command.slice(0, command.indexOf('.'));
  const bound =
    EPOCH_NOUNS.has(noun) || command === 'replica.export' || command === 'replica.unexport';
  if (!bound) return undefined;
  const epoch = (input as Fields)['epoch'];
  return typeof epoch === 'number' ? { volume: textField(input, 'volume'), epoch } : undefined;
}

/** What the journal has seen so far that bears on one command. */
export interface Precedents {
  readonly highestFence: number;
  readonly highestEpoch: number;
}

/** For a command that no other bears on. */
export const NO_PRECEDENTS: Precedents = { highestFence: 0, highestEpoch: 0 };

/** Undefined when the command may run; otherwise why not. Nothing has been changed then. */
export function refusal(
  envelope: CommandEnvelope,
  precedents: Precedents,
  nowMs: number,
): LariatError | undefined {
  if (nowMs > envelope.deadlineAtMs) {
    return lariatError(
      'COMMAND_EXPIRED',
      `${envelope.command} reached the node ${nowMs - envelope.deadlineAtMs} ms after its deadline; nothing was changed by this delivery`,
    );
  }
  if (envelope.fence < precedents.highestFence) {
    return lariatError(
      'COMMAND_FENCED',
      `operation ${envelope.operation} is led under fence ${precedents.highestFence}; a command with fence ${envelope.fence} is refused`,
    );
  }
  const bound = epochOf(envelope.command, envelope.input);
  if (bound !== undefined && bound.epoch < precedents.highestEpoch) {
    return lariatError(
      'EPOCH_STALE',
      `volume ${bound.volume} is at epoch ${precedents.highestEpoch}; ${envelope.command} for epoch ${bound.epoch} is refused`,
      { epoch: precedents.highestEpoch },
    );
  }
  return undefined;
}
