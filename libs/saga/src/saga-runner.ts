import { isEnded, lariatError } from '@lariat/contracts';
import {
  type Clock,
  type FaultPoints,
  type Json,
  delay,
  deriveOperationId,
  newOperationId,
  toLariatError,
  withDeadline,
} from '@lariat/kernel';
import type { CommandClient, LariatClient, Versioned } from '@lariat/messaging';
import {
  METRICS,
  type Log,
  type Metrics,
  NO_METRICS,
  type Tracing,
  secondsSince,
  traceparentOf,
} from '@lariat/telemetry';
import { context } from '@opentelemetry/api';
import type { CancelRequests } from './cancel-requests.js';
import { NEVER, cancelled, pointOfNoReturn } from './cancellation.js';
import type { AnySaga, SagaDefinition } from './definition.js';
import { joinOrRefuse, operationNotFound, standsInTheWay } from './join-or-refuse.js';
import { DEAD_AFTER_MS, type Liveness } from './liveness.js';
import { type SagaEvent, type SagaShape, nextRecord } from './next-record.js';
import { runStep } from './run-step.js';
import { type Memory, type SagaRecord, isCancellable } from './saga-record.js';
import { attributesOf, endRootSpan, outcomeOf, rootContext } from './saga-spans.js';
import { FenceLost, type SagaStore } from './saga-store.js';
import { StepRun, type UntypedStep } from './step-run.js';

export interface SagaRunnerOptions {
  readonly store: SagaStore;
  readonly cancels: CancelRequests;
  readonly liveness: Liveness;
  readonly instance: string;
  readonly commands: CommandClient;
  readonly client: LariatClient;
  readonly tracing: Tracing;
  readonly metrics?: Metrics;
  readonly clock: Clock;
  readonly log: Log;
  readonly faults: FaultPoints;
  readonly definitions: readonly AnySaga[];
}

export interface StartRequest {
  readonly kind: string;
  readonly input: Json;
  readonly actor: string;
  /** The caller's idempotency key. */
  readonly requestId: string | undefined;
}

type UntypedSaga = SagaDefinition<Json, Memory>;

const SCAN_MS = 500;
/** What came of a run of a step, as metrics have it; the rest has failed. */
const STEP_OUTCOMES: Readonly<Partial<Record<SagaEvent['type'], string>>> = {
  'step-done': 'done',
  'undo-done': 'done',
  'step-retry': 'retry',
  'undo-retry': 'retry',
};

/** Runs sagas, and takes up those of instances that died. */
export class SagaRunner {
  private readonly definitions: ReadonlyMap<string, UntypedSaga>;
  private readonly driving = new Set<string>();
  /** Subjects whose operation is being written down at this moment. */
  private readonly starting = new Map<string, Promise<SagaRecord>>();
  private readonly stopping = new AbortController();
  private readonly waiters = new Map<string, Set<(record: SagaRecord) => void>>();
  /** Of those that are driven here. */
  private readonly cancellations = new Map<string, AbortController>();
  private readonly stopListening: readonly (() => void)[];
  private scan: NodeJS.Timeout;

  constructor(private readonly options: SagaRunnerOptions) {
    // The runner handles inputs as JSON; each definition gives them their types.
    const untyped = options.definitions as unknown as readonly UntypedSaga[];
    this.definitions = new Map(untyped.map((definition) => [definition.kind, definition]));
    this.stopListening = [
      options.store.listen((id, record) => {
        if (record === null || isEnded(record.state)) options.cancels.forget(id);
        if (record !== null && isEnded(record.state)) this.tell(id, record);
      }),
      options.cancels.listen((id) => this.cancel(id)),
    ];
    this.scan = setInterval(() => this.takeUpOrphans(), SCAN_MS);
  }

  /**
   * Begins an operation, or joins the one that does the same already. Rejects with OPERATION_IN_PROGRESS when
   * another one works on the subject.
   */
  async start(request: StartRequest): Promise<SagaRecord> {
    const definition = this.definitionOf(request.kind);
    const subject = definition.subjectOf(request.input);
    const known = await this.findByRequest(request);
    if (known !== undefined) return known;
    // Nothing is awaited between the last look and the entry in `starting`: two equal requests make one operation.
    for (
      let other = this.starting.get(subject);
      other !== undefined;
      other = this.starting.get(subject)
    ) {
      const first = await other.catch(() => undefined);
      if (first !== undefined && standsInTheWay(first, request))
        return joinOrRefuse(first, request);
    }
    const begun = this.begin(request, subject, definition);
    this.starting.set(subject, begun);
    try {
      return await begun;
    } finally {
      this.starting.delete(subject);
    }
  }

  private async begin(
    request: StartRequest,
    subject: string,
    definition: UntypedSaga,
  ): Promise<SagaRecord> {
    const record = this.newRecord(request, subject, definition);
    // Before the write, or the scan could meet the new record first and take it for abandoned.
    this.driving.add(record.id);
    const created = await this.record(record).catch(async (reason: unknown) => {
      this.driving.delete(record.id);
      // Two requests with one key at the same moment: the other one was first.
      const other = await this.findByRequest(request);
      if (other === undefined) throw reason;
      return other;
    });
    if (!('revision' in created)) return created;
    if (created.value.id !== record.id) {
      this.driving.delete(record.id);
      return joinOrRefuse(created.value, request);
    }
    this.options.tracing.tracer
      .startSpan(
        `saga.start ${record.kind}`,
        { attributes: attributesOf(record) },
        rootContext(record),
      )
      .end();
    void this.drive(created, definition);
    return created.value;
  }

  /** The record as it is stored now, or the operation of another instance that has the subject. */
  private async record(record: SagaRecord): Promise<Versioned<SagaRecord>> {
    const { store } = this.options;
    for (;;) {
      const holder = await store.claim(record);
      if (holder === record.id) return store.create(record);
      const found = await store.find(holder);
      if (found === undefined) throw operationNotFound(holder);
      // One that has ended since it was asked about leaves the subject to whoever claims it next.
      if (standsInTheWay(found.value, record)) return found;
    }
  }

  /** The operation that an earlier request with this key began; refuses a key that was used for another kind. */
  async known(kind: string, requestId: string | undefined): Promise<SagaRecord | undefined> {
    if (requestId === undefined) return undefined;
    const found = await this.options.store.find(deriveOperationId(requestId));
    if (found === undefined || found.value.kind === kind) return found?.value;
    throw lariatError(
      'REQUEST_INVALID',
      `The request id '${requestId}' was used for ${found.value.kind} before: use a new one for each request.`,
      { requestId, operation: found.value.id },
    );
  }

  /** As it is on record; ended ones are kept for a day. */
  async find(id: string): Promise<SagaRecord | undefined> {
    return (await this.options.store.find(id))?.value;
  }

  /** The operation when it has ended; DEADLINE_EXCEEDED when it has not by then. */
  async wait(id: string, timeoutMs: number): Promise<SagaRecord> {
    const found = await this.options.store.find(id);
    if (found === undefined) throw operationNotFound(id);
    if (isEnded(found.value.state)) return found.value;
    let told: ((record: SagaRecord) => void) | undefined;
    const waiters = this.waiters.get(id) ?? new Set();
    this.waiters.set(id, waiters);
    try {
      const end = new Promise<SagaRecord>((resolve) => {
        told = resolve;
        waiters.add(resolve);
      });
      // It may have ended between the look and the wait.
      const again = this.options.store.cached(id);
      if (again !== undefined && isEnded(again.value.state)) return again.value;
      return await withDeadline(`operation ${id}`, timeoutMs, end);
    } finally {
      if (told !== undefined) waiters.delete(told);
      if (waiters.size === 0) this.waiters.delete(id);
    }
  }

  /** Begins no more steps; what runs is left to another instance. */
  async stop(): Promise<void> {
    this.stopping.abort();
    clearInterval(this.scan);
    for (const stopListening of this.stopListening) stopListening();
    const deadline = this.options.clock.monotonicMs() + DEAD_AFTER_MS;
    while (this.driving.size > 0 && this.options.clock.monotonicMs() < deadline) await delay(20);
    this.options.liveness.close();
  }

  private definitionOf(kind: string): UntypedSaga {
    const definition = this.definitions.get(kind);
    if (definition === undefined) throw new Error(`no saga '${kind}' is defined here`);
    return definition;
  }

  private async findByRequest(request: StartRequest): Promise<SagaRecord | undefined> {
    if (request.requestId === undefined) return undefined;
    const found = await this.options.store.find(deriveOperationId(request.requestId));
    if (found === undefined) return undefined;
    return joinOrRefuse(found.value, request);
  }

  private newRecord(request: StartRequest, subject: string, definition: UntypedSaga): SagaRecord {
    const nowMs = this.options.clock.nowMs();
    const parent = context.active();
    const ids = this.options.tracing.reserve(parent);
    const [first] = definition.steps;
    return {
      id: request.requestId === undefined ? newOperationId() : deriveOperationId(request.requestId),
      kind: request.kind,
      subject,
      input: request.input,
      memory: {},
      state: 'running',
      stepIndex: 0,
      stepName: first?.name ?? null,
      attempt: 1,
      failures: 0,
      pointOfNoReturn: pointOfNoReturn(definition.steps),
      stepSinceMs: nowMs,
      nextTryAtMs: null,
      waitingFor: first === undefined ? null : waitsFor(first, request.input, {}),
      progress: null,
      lastError: null,
      error: null,
      result: null,
      holder: this.options.instance,
      fence: 1,
      ...ids,
      traceparent: traceparentOf(parent) ?? null,
      actor: request.actor,
      startedAtMs: nowMs,
      endedAtMs: null,
    };
  }

  private takeUpOrphans(): void {
    if (this.stopping.signal.aborted) return;
    for (const versioned of this.options.store.running()) {
      const { value } = versioned;
      const definition = this.definitions.get(value.kind);
      if (definition === undefined || this.driving.has(value.id)) continue;
      if (value.holder !== this.options.instance && this.options.liveness.isAlive(value.holder))
        continue;
      void this.takeUp(versioned, definition);
    }
  }

  private async takeUp(versioned: Versioned<SagaRecord>, definition: UntypedSaga): Promise<void> {
    const { value } = versioned;
    this.driving.add(value.id);
    try {
      const next = this.next(
        versioned,
        { type: 'taken-over', holder: this.options.instance },
        definition,
      );
      const taken = await this.options.store.write(versioned, next);
      this.options.log.info('saga taken up', {
        operation: value.id,
        kind: value.kind,
        step: value.stepName,
        from: value.holder,
      });
      const attributes = { ...attributesOf(taken.value), 'saga.resumed_from': value.holder };
      this.options.tracing.tracer
        .startSpan(`saga.resume ${value.kind}`, { attributes }, rootContext(value))
        .end();
      await this.drive(taken, definition);
    } catch (error) {
      if (!(error instanceof FenceLost))
        this.options.log.warn('saga not taken up', { operation: value.id, error });
    } finally {
      this.driving.delete(value.id);
    }
  }

  private next(
    versioned: Versioned<SagaRecord>,
    event: SagaEvent,
    definition: UntypedSaga,
  ): SagaRecord {
    return nextRecord(versioned.value, event, shapeOf(definition), this.options.clock.nowMs());
  }

  private async drive(begun: Versioned<SagaRecord>, definition: UntypedSaga): Promise<void> {
    const { id, kind } = begun.value;
    this.driving.add(id);
    this.cancellations.set(id, new AbortController());
    // Asked for while nobody drove it.
    this.cancel(id);
    let current = begun;
    try {
      while (!isEnded(current.value.state)) {
        if (this.stopping.signal.aborted) return;
        current = await this.advance(current, definition);
      }
      endRootSpan(this.options.tracing, current.value);
      this.measureEnd(current.value);
    } catch (error) {
      if (!(error instanceof FenceLost))
        this.options.log.error('saga interrupted', { operation: id, kind, error });
    } finally {
      this.driving.delete(id);
      this.cancellations.delete(id);
    }
  }

  /** One run of the current step, forward or back, and the journal entry of its outcome. */
  private async advance(
    current: Versioned<SagaRecord>,
    definition: UntypedSaga,
  ): Promise<Versioned<SagaRecord>> {
    const { value } = current;
    const cancellation = this.cancellationOf(value);
    if (cancellation.aborted) return this.giveUp(current, cancellation, definition);
    if (value.nextTryAtMs !== null) {
      const woken = AbortSignal.any([this.stopping.signal, cancellation]);
      await delay(value.nextTryAtMs - this.options.clock.nowMs(), woken);
      if (woken.aborted) return current;
      return this.options.store.write(
        current,
        this.next(current, { type: 'run-begun' }, definition),
      );
    }
    const step = definition.steps[value.stepIndex];
    if (step === undefined) throw new Error(`saga ${value.kind} has no step ${value.stepIndex}`);
    const position = `saga/${value.kind}/${step.name}${value.state === 'undoing' ? '/undo' : ''}`;
    await this.options.faults.reach(`${position}/before`);
    const append = (latest: Versioned<SagaRecord>, event: SagaEvent) =>
      this.options.store.write(latest, this.next(latest, event, definition));
    const run = new StepRun({ ...this.options, append, cancellation }, step, current);
    const began = performance.now();
    const event = await runStep(this.options, run, step, definition);
    this.metrics.record(METRICS.stepDuration, secondsSince(began), {
      'saga.type': value.kind,
      'saga.step': step.name,
      direction: value.state === 'undoing' ? 'undo' : 'forward',
      outcome: STEP_OUTCOMES[event.type] ?? 'failed',
    });
    const latest = await run.settled();
    await this.options.faults.reach(`${position}/after`);
    // The last step that can be undone may have run to its end without looking.
    if (cancellation.aborted) return this.giveUp(latest, cancellation, definition);
    return append(latest, event);
  }

  private get metrics(): Metrics {
    return this.options.metrics ?? NO_METRICS;
  }

  private measureEnd(record: SagaRecord): void {
    const tookMs = Math.max(0, (record.endedAtMs ?? record.startedAtMs) - record.startedAtMs);
    this.metrics.record(METRICS.sagaDuration, tookMs / 1000, {
      'saga.type': record.kind,
      'saga.outcome': outcomeOf(record),
    });
  }

  /** The operation is undone from its current step on, whether that has begun or not. */
  private giveUp(
    current: Versioned<SagaRecord>,
    { reason }: AbortSignal,
    definition: UntypedSaga,
  ): Promise<Versioned<SagaRecord>> {
    const error = toLariatError(reason).toRecord();
    const next = this.next(current, { type: 'step-failed', error }, definition);
    return this.options.store.write(current, next);
  }

  private cancellationOf(record: SagaRecord): AbortSignal {
    const asked = isCancellable(record) ? this.cancellations.get(record.id) : undefined;
    return asked?.signal ?? NEVER;
  }

  private cancel(id: string): void {
    const actor = this.options.cancels.actorOf(id);
    const record = this.options.store.cached(id)?.value;
    if (actor === undefined || record === undefined) return;
    this.cancellations.get(id)?.abort(cancelled(record, actor));
  }

  private tell(id: string, record: SagaRecord): void {
    for (const waiter of this.waiters.get(id) ?? []) waiter(record);
  }
}

function waitsFor(step: UntypedStep, input: Json, memory: Readonly<Record<string, Json>>): string {
  return typeof step.waitsFor === 'string' ? step.waitsFor : step.waitsFor(input, memory);
}

function shapeOf(definition: UntypedSaga): SagaShape {
  return {
    steps: definition.steps.map((step) => step.name),
    waitsFor: (index, record) => {
      const step = definition.steps[index];
      return step === undefined ? null : waitsFor(step, record.input, record.memory);
    },
  };
}
