import { type AnySaga, CancelRequests, Liveness, SagaRunner, SagaStore } from '@lariat/saga';
import type { PluginContext } from './define-plugin.js';
import { observeSagas } from './observe-sagas.js';

export interface Sagas {
  readonly store: SagaStore;
  readonly runner: SagaRunner;
  readonly cancels: CancelRequests;
}

/** The plugin's sagas on its own connection; it also takes up those of its kinds whose instance died. */
export async function startSagas(
  context: PluginContext,
  definitions: readonly AnySaga[],
): Promise<Sagas> {
  const { connection, instance, commands, client, telemetry, metrics, clock, log, faults } =
    context;
  const store = await SagaStore.open(connection, clock);
  const cancels = await CancelRequests.open(connection);
  const liveness = new Liveness(connection, instance, () => clock.monotonicMs());
  const runner = new SagaRunner({
    store,
    cancels,
    liveness,
    instance,
    commands,
    client,
    tracing: telemetry,
    metrics,
    clock,
    log,
    faults,
    definitions,
  });
  observeSagas(store, { metrics, instance, clock });
  return { store, runner, cancels };
}
