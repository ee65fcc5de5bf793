import {
  positionOf,
  type CommandEnvelope,
  type CommandMap,
  type CommandName,
  type ErrorCode,
  type ImageRecord,
  DIGEST_BYTES,
  type NvmfEndpoint,
  clusterDigestOf,
  encodeDigestPage,
  lariatError,
  rootDigestOf,
} from '@lariat/contracts';
import { MIB, delay } from '@lariat/kernel';
import { DECLARED_DOWN_WITHIN_MS } from '@lariat/replica-svc';

/** When a node stops answering, by the test's clock; DECLARED_DOWN_WITHIN_MS later it is declared down; it may come back. */
export interface Silence {
  readonly fromMs: number;
  readonly toMs: number;
}

const ANSWER_MS = 20;
/** Id of a replica whose content is not that of the others. */
export const ODD_REPLICA = 'rep-odd';

/** A disk whose copy of an image is not the image. */
export const ODD_DISK = 'disk-of-odd';

const IMAGINED_DIGESTS = clusterDigestOf(Buffer.alloc(MIB, 'image'));
/** Of the one image that there is: it has one cluster. */
export const IMAGINED_ROOT = rootDigestOf({ sizeBytes: MIB, digests: IMAGINED_DIGESTS });

const endpoint = (nqn: string): NvmfEndpoint => ({
  nqn,
  traddr: '127.0.0.1',
  trsvcid: '4420',
  uuid: '00000000-0000-4000-8000-000000000000',
});

const nothing = (): Readonly<Record<string, never>> => ({});
const made = (): { lvolUuid: string } => ({ lvolUuid: 'lvol' });

/** What an agent answers when all goes well. */
const ANSWERS: {
  readonly [Name in CommandName]: (input: CommandMap[Name]['input']) => CommandMap[Name]['output'];
} = {
  'disk.add': ({ disk, name, path, tags }) => ({
    ...{ id: disk, name, path, tags, lvsUuid: 'lvs' },
    ...{ capacityBytes: 1024 * MIB, clusterSizeBytes: MIB },
  }),
  'disk.remove': nothing,
  'target.restart': () => ({ from: 'v1', to: 'v2' }),
  'orphan.delete': () => ({ outcome: 'deleted' }),
  'replica.create': made,
  'replica.clone': made,
  'replica.adopt-scratch': made,
  'replica.adopt': made,
  'replica.delete': nothing,
  'replica.export': ({ replica }) => endpoint(replica),
  'replica.unexport': nothing,
  'replica.resize': nothing,
  'replica.revert': made,
  'replica.checksum': ({ replica }) => ({
    sha256: replica === ODD_REPLICA ? 'odd' : 'same',
    sizeBytes: MIB,
  }),
  'record.keep': ({ record }) => ({ held: positionOf(record), isSame: true }),
  'record.survey': () => ({ disks: [], volumes: [], images: [], next: null }),
  'snapshot.create': made,
  'snapshot.delete': nothing,
  'snapshot.export': ({ snapshot }) => ({ ...endpoint(snapshot), allocatedBytes: 0 }),
  'snapshot.unexport': nothing,
  'engine.start': ({ volume, legs }) => ({
    endpoint: endpoint(volume),
    operational: legs.map(({ replica }) => replica),
    lost: [],
  }),
  'engine.resize': ({ sizeBytes }) => ({ sizeBytes }),
  'engine.set-qos': nothing,
  'engine.stop': () => ({ inStep: null }),
  'engine.remove-leg': nothing,
  'engine.add-leg': nothing,
  'engine.close-gate': nothing,
  'engine.open-gate': () => ({ held: true }),
  'frontend.start': ({ volume }) => ({ endpoint: `nbd+unix:///?socket=/${volume}` }),
  'frontend.users': () => ({ users: [] }),
  'frontend.stop': nothing,
  'rebuild.export-snapshot': ({ snapshot }) => endpoint(snapshot),
  'rebuild.unexport-snapshot': nothing,
  'rebuild.create-head': made,
  'rebuild.create-scratch': ({ replica }) => endpoint(`scratch-${replica}`),
  'rebuild.copy-snapshot': () => ({ copiedClusters: 1 }),
  'rebuild.freeze-scratch': made,
  'rebuild.finish': nothing,
  'rebuild.detach-scratch': nothing,
  'rebuild.retire-head': () => ({ snapshots: [] }),
  'rebuild.discard-head': nothing,
  'rebuild.prune-snapshots': nothing,
  'rebuild.digest-snapshot': () => ({ sha256: 'same', sizeBytes: MIB }),
  'rebuild.read-digests': ({ clusters }) => ({
    digests: encodeDigestPage({ digests: Buffer.alloc(clusters * DIGEST_BYTES) }, 0, clusters),
  }),
  'rebuild.copy-clusters': () => ({ copiedClusters: 0, zeroedClusters: 0 }),
  'image.create-copy': ({ sizeBytes, hostNqn }) => ({
    ...{ ...made(), sizeBytes },
    endpoint: hostNqn === null ? null : endpoint('draft'),
  }),
  'image.seal-copy': () => ({ ...made(), sizeBytes: MIB, allocatedBytes: MIB }),
  'image.adopt-copy': made,
  'image.export-copy': ({ image }) => endpoint(image),
  'image.unexport-copy': nothing,
  'image.fetch-copy': () => ({ copiedClusters: 1 }),
  'image.digest-copy': ({ disk }) => ({
    sha256: disk === ODD_DISK ? 'odd' : IMAGINED_ROOT,
    sizeBytes: MIB,
  }),
  'image.read-digests': () => ({ digests: encodeDigestPage({ digests: IMAGINED_DIGESTS }, 0, 1) }),
  'image.delete-copy': nothing,
  'image.serve-file': ({ expected }) => expected ?? { sizeBytes: MIB, mtimeNs: '1', inode: '1' },
};

/** Agents that answer every command at once, but for nodes that are silent. */
export class ImaginedAgents {
  /** Every command that was sent, in order. */
  readonly sent: { readonly node: string; readonly command: CommandName }[] = [];
  /** Called before a command is carried out, with its place in `sent`. */
  onSend: (index: number) => void = () => undefined;
  refusals: Readonly<Partial<Record<CommandName, ErrorCode>>> = {};
  /** Of what every node keeps a record, while the store has none. */
  lostImages: readonly ImageRecord[] = [];
  /** Commands under way, and since when. */
  readonly unanswered = new Map<
    CommandEnvelope,
    { readonly node: string; readonly sinceMs: number }
  >();
  private readonly silences = new Map<string, Silence>();

  /** `silenceAt`: the node that gets this command (counted from 0) is silent from then on. */
  constructor(
    private readonly nowMs: () => number,
    private readonly silenceAt?: {
      readonly index: number;
      /** True: the command is carried out, its answer is lost. */
      readonly forMs: number;
    },
  ) {}

  silence(node: string, silence: Silence): void {
    this.silences.set(node, silence);
  }

  isSilent(node: string): boolean {
    const silence = this.silences.get(node);
    const nowMs = this.nowMs();
    return silence !== undefined && silence.fromMs <= nowMs && nowMs < silence.toMs;
  }

  isDown(node: string): boolean {
    const silence = this.silences.get(node);
    return (
      this.isSilent(node) &&
      silence !== undefined &&
      this.nowMs() - silence.fromMs >= DECLARED_DOWN_WITHIN_MS
    );
  }

  /** When the last node that ever falls silent has been declared down, or has come back. */
  settledAtMs(): number {
    return Math.max(
      0,
      ...Array.from(this.silences.values(), ({ fromMs, toMs }) =>
        Math.min(fromMs + DECLARED_DOWN_WITHIN_MS, toMs),
      ),
    );
  }

  async send(node: string, envelope: CommandEnvelope): Promise<unknown> {
    const index = this.sent.push({ node, command: envelope.command }) - 1;
    this.onSend(index);
    if (index === this.silenceAt?.index) {
      const fromMs = this.nowMs();
      this.silence(node, { fromMs, toMs: fromMs + this.silenceAt.forMs });
    }
    this.unanswered.set(envelope, { node, sinceMs: this.nowMs() });
    try {
      return await this.answer(node, envelope);
    } finally {
      this.unanswered.delete(envelope);
    }
  }

  private async answer(node: string, envelope: CommandEnvelope): Promise<unknown> {
    await delay(ANSWER_MS);
    // The stream keeps a command for a node that comes back in time.
    while (this.isSilent(node) && this.nowMs() < envelope.deadlineAtMs)
      await delay(Math.min(250, Math.max(1, envelope.deadlineAtMs - this.nowMs())));
    if (this.isSilent(node)) {
      throw lariatError('DEADLINE_EXCEEDED', `${node} did not answer ${envelope.command}`, {
        node,
      });
    }
    const refusal = this.refusals[envelope.command];
    if (refusal !== undefined) throw lariatError(refusal, `${node} refuses ${envelope.command}`);
    if (envelope.command === 'record.survey') return this.survey();
    const answer = ANSWERS[envelope.command] as (input: unknown) => unknown;
    return answer(envelope.input);
  }

  private survey(): CommandMap['record.survey']['output'] {
    const images = this.lostImages.map((record) => ({ image: record.id, record, copies: [] }));
    return { disks: [], volumes: [], images, next: null };
  }
}
