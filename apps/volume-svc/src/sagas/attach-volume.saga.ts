import {
  type CommandMap,
  type EngineLeg,
  type Frontend,
  type NodeView,
  type NvmfEndpoint,
  type VolumeChange,
  type VolumeQos,
  type VolumeRecord,
  engineHostNqn,
  lariatError,
} from '@lariat/contracts';
import {
  COMMAND_TIMEOUT_MS,
  RETRY_BRIEFLY,
  type SagaDefinition,
  type SagaStep,
  type StepContext,
  attempt,
  attemptWhileLive,
  cleanUp,
  commandWhileLive,
} from '@lariat/saga';
import { hostsOf } from '../domain/attachment-hosts.js';
import { chooseLegs } from '../domain/choose-legs.js';
import { inSyncOf } from '../domain/replica-changes.js';
import { assertCanAttach } from '../domain/preconditions.js';
import { judgeStop } from '../domain/stop-verdict.js';
import {
  type OnVolume,
  type SagaDeps,
  changeVolume,
  claimStep,
  faultMissed,
  finishStep,
  volumeResult,
} from './saga-deps.js';

export interface AttachVolumeInput extends OnVolume {
  readonly node: string;
  readonly frontend: Frontend;
  /** Of `nvmf`; null, or missing in what an older service began: one that is made for the attachment. */
  readonly hostNqns?: readonly string[] | null;
  /** Takes the volume from the node that holds it. */
  readonly force: boolean;
  /** Who attaches it tells what becomes of its content; missing: it does not. */
  readonly keepsContent?: boolean;
}

interface AttachVolumeMemory {
  readonly epoch: number;
  readonly sizeBytes: number;
  readonly uuid: string;
  readonly wasClean: boolean;
  /** The node that the volume is taken from; null when it was detached. */
  readonly seizedFrom: string | null;
  readonly replicas: readonly { readonly id: string; readonly node: string }[];
  readonly legs: readonly EngineLeg[];
  readonly engine: NvmfEndpoint;
  readonly endpoint: string;
  readonly qos: VolumeQos | null;
}

type Context = StepContext<AttachVolumeInput, AttachVolumeMemory>;
type Step = SagaStep<AttachVolumeInput, AttachVolumeMemory>;

/**
 * A leg that does not answer by then leaves the in-sync set instead of holding the attach up. Longer than an agent
 * that died takes to come back and to be given its command again; a node that is declared down ends the wait.
 */
const EXPORT_TIMEOUT_MS = 12_000;
/** How long the node that a volume is taken from may take to stop its engine; it is done without it then. */
const EVICT_TIMEOUT_MS = 3_000;

export function attachVolumeSaga(
  deps: SagaDeps,
): SagaDefinition<AttachVolumeInput, AttachVolumeMemory> {
  return {
    kind: 'volume.attach',
    subjectOf: (input) => `volume/${input.volume}`,
    steps: [
      claim(deps),
      evict(deps),
      exportLegs(deps),
      startEngine(deps),
      startFrontend(),
      finish(deps),
    ],
    result: volumeResult,
  };
}

/** The epoch is on record before anything is exported under it (invariant 3). */
function claim(deps: SagaDeps): Step {
  const step = claimStep<AttachVolumeInput, AttachVolumeMemory>(
    deps,
    (record, context) => {
      const { node, frontend, force, hostNqns = null } = context.input;
      assertCanAttach(record, context.operation, { node, force });
      // A second run of this step finds its own epoch.
      const isOwn = record.operation === context.operation && record.state === 'attaching';
      const epoch = isOwn ? record.epoch : record.epoch + 1;
      return [
        ...(context.input.keepsContent === true ? [] : [{ type: 'disown-content' } as const]),
        { type: 'transition', event: record.state === 'attached' ? 'seize' : 'attach' },
        { type: 'raise-epoch', epoch },
        {
          type: 'set-attachment',
          attachment: {
            epoch,
            node,
            frontend,
            endpoint: null,
            engine: null,
            ...hostsOf({ frontend, hostNqns }, record.id, epoch),
            seizedFrom: seizedFrom(record, isOwn),
            inSync: inSyncOf(record),
          },
        },
      ];
    },
    {
      remember: (record) => ({
        seizedFrom: record.attachment?.seizedFrom ?? null,
        epoch: record.epoch,
        sizeBytes: record.sizeBytes,
        uuid: record.uuid,
        qos: record.qos ?? null,
        wasClean: record.clean,
        replicas: record.replicas
          .filter(({ mode }) => mode === 'RW')
          .map(({ id, node }) => ({ id, node })),
      }),
      revert: (record) =>
        record.state === 'attaching'
          ? [
              { type: 'set-attachment', attachment: null },
              { type: 'transition', event: 'attach-undone' },
            ]
          : [],
    },
  );
  return {
    ...step,
    run: async (context) => {
      await assertNodeReady(context);
      return step.run(context);
    },
  };
}

/** A second run of the claim finds what its first one noted. */
function seizedFrom({ attachment }: VolumeRecord, isOwn: boolean): string | null {
  return (isOwn ? attachment?.seizedFrom : attachment?.node) ?? null;
}

async function assertNodeReady({ client, input }: Context): Promise<NodeView> {
  const node = await client.request('node.get', { node: input.node });
  if (node.state === 'down') {
    throw lariatError(
      'NODE_NOT_READY',
      `Node '${input.node}' is down (${node.reason}): attach on another one.`,
      {
        node: input.node,
        since: node.since,
      },
    );
  }
  if (!node.schedulable) {
    throw lariatError(
      'NODE_CORDONED',
      `Node '${input.node}' is ${node.duty}: it gets no new engines. Attach on another node, or 'lariat node uncordon ${input.node}'.`,
      { node: input.node, duty: node.duty },
    );
  }
  assertOffers(node, input.frontend);
  return node;
}

function assertOffers({ name, frontends }: NodeView, wanted: Frontend): void {
  const offer = frontends.find(({ frontend }) => frontend === wanted);
  if (offer?.available === true) return;
  const others = frontends.flatMap(({ frontend, available }) => (available ? [frontend] : []));
  throw lariatError(
    'FRONTEND_UNSUPPORTED',
    `Node '${name}' does not offer frontend '${wanted}': ${offer?.reason ?? 'its agent does not know of it'}. It offers ${others.join(', ')}.`,
    { node: name, frontends: others },
  );
}

/**
 * Asks the node that held the volume to stop: what it answers is in the volume then, and every leg is as good as the
 * others. Without an answer it may go on writing until its legs no longer admit it.
 */
function evict(deps: SagaDeps): Step {
  return {
    name: 'evict',
    waitsFor: (_input, { seizedFrom }) =>
      seizedFrom == null
        ? 'nothing'
        : `the engine on ${seizedFrom} to stop, for ${(2 * EVICT_TIMEOUT_MS) / 1000} s at most`,
    timeoutMs: 3 * EVICT_TIMEOUT_MS,
    retry: RETRY_BRIEFLY,
    run: async (context) => {
      const { seizedFrom = null, epoch = 0 } = context.memory;
      if (seizedFrom === null) return;
      const { volume } = context.input;
      // Under the new epoch: a command of the old one that is still on its way is refused after it.
      const input = { volume, epoch };
      const stop = <Name extends 'frontend.stop' | 'engine.stop'>(
        name: Name,
        body: CommandMap[Name]['input'],
      ) => attempt<Name>(context, seizedFrom, name, body, name, EVICT_TIMEOUT_MS);
      const frontend = await stop('frontend.stop', { ...input, force: true });
      const engine = frontend.ok ? await stop('engine.stop', input) : frontend;
      if (!engine.ok) {
        context.log.warn('seized without its engine’s help', {
          volume,
          from: seizedFrom,
          error: engine.error.message,
        });
        return;
      }
      let clean = false;
      await changeVolume(deps, context, (record) => {
        const verdict = judgeStop(record, engine.output.inStep);
        clean = verdict.clean;
        return faultMissed(deps, verdict);
      });
      return { wasClean: clean, seizedFrom: null };
    },
  };
}

/** Each leg admits only this epoch's engine; one that can't be reached leaves the in-sync set before the engine starts. */
function exportLegs(deps: SagaDeps): Step {
  return {
    name: 'export-legs',
    waitsFor: (_input, memory) =>
      `replicas on ${(memory.replicas ?? []).map(({ node }) => node).join(', ')}`,
    timeoutMs: 3 * EXPORT_TIMEOUT_MS,
    retry: RETRY_BRIEFLY,
    run: async (context) => {
      const { nodes } = await context.client.request('node.list', {});
      const answering = new Set(
        nodes.filter(({ state }) => state !== 'down').map(({ name }) => name),
      );
      const record = await deps.volumes.find(context.input.volume);
      // As it was when the volume was taken: this step itself marks it unclean, and may run again.
      const before = { ...record, clean: context.memory.wasClean ?? record.clean };
      const choice = chooseLegs(
        before,
        context.input.node,
        (node) => answering.has(node),
        (node) => node !== context.memory.seizedFrom,
      );
      const { legs, lost } =
        choice.kind === 'all'
          ? await exportAll(context, record, choice.replicas)
          : await exportOne(context, record, choice.candidates);
      if (legs.length === 0) throw noLegLeft(record, lost);
      // Not clean from here on: the engine may write as soon as it runs.
      const changed = await changeVolume(deps, context, [
        ...faults(deps, lost),
        { type: 'set-clean', clean: false },
      ]);
      // Beside the replicas too: from now on none of them may be taken for clean, and who has left for a member.
      await deps.volumes.confirm(changed);
      return { legs };
    },
    undo: async (context) => {
      await Promise.all(
        (context.memory.replicas ?? []).map(async ({ id, node }) => {
          const input = {
            replica: id,
            volume: context.input.volume,
            epoch: context.memory.epoch ?? 0,
          };
          await cleanUp(context, node, 'replica.unexport', input, id);
        }),
      );
      // Nothing wrote: what was known of the legs before still holds.
      await changeVolume(deps, context, [
        { type: 'set-clean', clean: context.memory.wasClean ?? false },
      ]);
    },
  };
}

interface ExportedLegs {
  readonly legs: readonly EngineLeg[];
  /** Leave the in-sync set. */
  readonly lost: readonly Lost[];
}

interface Lost {
  readonly replica: string;
  readonly reason: string;
}

async function exportAll(
  context: Context,
  record: VolumeRecord,
  replicas: readonly string[],
): Promise<ExportedLegs> {
  const exported = await Promise.all(
    replicas.map((replica) => exportLeg(context, record, replica)),
  );
  return {
    legs: exported.flatMap((result) => ('leg' in result ? [result.leg] : [])),
    lost: exported.flatMap((result) => ('leg' in result ? [] : [result])),
  };
}

/** The first candidate that can be reached; all others of the in-sync set are to be copied from it. */
async function exportOne(
  context: Context,
  record: VolumeRecord,
  candidates: readonly string[],
): Promise<ExportedLegs> {
  const failed: Lost[] = [];
  for (const candidate of candidates) {
    const result = await exportLeg(context, record, candidate);
    if (!('leg' in result)) {
      failed.push(result);
      continue;
    }
    const node = record.replicas.find(({ id }) => id === candidate)?.node;
    const reason = `unclean stop in epoch ${context.memory.epoch}: copied anew from ${candidate} on ${node}`;
    const others = inSyncOf(record).filter((id) => id !== candidate);
    return { legs: [result.leg], lost: others.map((replica) => ({ replica, reason })) };
  }
  return { legs: [], lost: failed };
}

async function exportLeg(
  context: Context,
  record: VolumeRecord,
  replica: string,
): Promise<{ readonly leg: EngineLeg } | Lost> {
  const node = record.replicas.find(({ id }) => id === replica)?.node ?? '';
  const epoch = context.memory.epoch ?? 0;
  const base = { replica, volume: record.id, epoch };
  const local = node === context.input.node;
  const outcome = local
    ? await attemptWhileLive(context, node, 'replica.unexport', base, replica, EXPORT_TIMEOUT_MS)
    : await attemptWhileLive(
        context,
        node,
        'replica.export',
        { ...base, hostNqns: [engineHostNqn(record.id, epoch)] },
        replica,
        EXPORT_TIMEOUT_MS,
      );
  if (!outcome.ok) return { replica, reason: `node ${node}: ${outcome.error.message}` };
  return {
    leg: { replica, endpoint: 'nqn' in outcome.output ? (outcome.output as NvmfEndpoint) : null },
  };
}

function startEngine(deps: SagaDeps): Step {
  return {
    name: 'start-engine',
    waitsFor: (input) => `the engine on ${input.node}`,
    timeoutMs: 2 * COMMAND_TIMEOUT_MS,
    retry: RETRY_BRIEFLY,
    run: async (context) => {
      const { volume, node } = context.input;
      const { uuid = '', epoch = 0, sizeBytes = 0, legs = [], qos = null } = context.memory;
      const limits = qos === null ? {} : { qos };
      const input = { volume, uuid, epoch, sizeBytes, legs, ...limits };
      const started = await commandWhileLive(context, node, 'engine.start', input, {
        key: volume,
      });
      // On record before the first write can be acknowledged without them (invariant 4): no host is let in yet.
      const changed = await changeVolume(deps, context, faults(deps, started.lost));
      if (started.lost.length > 0) await deps.volumes.confirm(changed);
      return { engine: started.endpoint };
    },
    undo: async (context) => {
      const { volume, node } = context.input;
      const input = { volume, epoch: context.memory.epoch ?? 0 };
      await cleanUp(context, node, 'engine.stop', input, volume);
    },
  };
}

function startFrontend(): Step {
  return {
    name: 'start-frontend',
    waitsFor: (input) => `the ${input.frontend} frontend on ${input.node}`,
    timeoutMs: 2 * COMMAND_TIMEOUT_MS,
    retry: RETRY_BRIEFLY,
    run: async (context) => {
      const { volume, node, frontend, hostNqns = null } = context.input;
      const { epoch = 0, engine } = context.memory;
      if (engine === undefined)
        throw lariatError('RECORD_CORRUPT', 'The journal has no engine endpoint.');
      const input = {
        ...{ volume, epoch, frontend, endpoint: engine },
        ...hostsOf({ frontend, hostNqns }, volume, epoch),
      };
      const { endpoint } = await commandWhileLive(context, node, 'frontend.start', input, {
        key: volume,
      });
      return { endpoint };
    },
    undo: async (context) => {
      const { volume, node } = context.input;
      // Nobody was told of it: whoever uses a device by now has looked for it by themselves.
      const input = { volume, epoch: context.memory.epoch ?? 0, force: true };
      await cleanUp(context, node, 'frontend.stop', input, volume);
    },
  };
}

function finish(deps: SagaDeps): Step {
  return finishStep(deps, (record, { input, memory }) => [
    {
      type: 'set-attachment',
      attachment: {
        epoch: memory.epoch ?? 0,
        node: input.node,
        frontend: input.frontend,
        endpoint: memory.endpoint ?? null,
        engine: memory.engine ?? null,
        ...hostsOf(
          { frontend: input.frontend, hostNqns: input.hostNqns ?? null },
          record.id,
          memory.epoch ?? 0,
        ),
        seizedFrom: null,
        inSync: inSyncOf(record),
      },
    },
    { type: 'transition', event: 'attached' },
  ]);
}

function faults(deps: SagaDeps, lost: readonly Lost[]): VolumeChange[] {
  const atMs = deps.clock.nowMs();
  return lost.map(({ replica, reason }) => ({ type: 'fault-replica', replica, reason, atMs }));
}

function noLegLeft(record: VolumeRecord, lost: readonly Lost[]): Error {
  return lariatError(
    'LEG_UNREACHABLE',
    `No replica of volume '${record.name}' can be reached: ${lost.map(({ replica, reason }) => `${replica} (${reason})`).join('; ')}. Bring one of the nodes back.`,
    { volume: record.id },
  );
}
