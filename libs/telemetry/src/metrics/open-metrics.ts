import type { Log } from '../log.js';
import type { TelemetryEnvironment } from '../telemetry-environment.js';
import type { ServiceIdentity } from '../telemetry.js';
import { type Metrics, NO_METRICS } from './metrics.js';

/** The service's metrics, sent to where the environment says. The SDK is loaded only when that is somewhere. */
export async function openMetrics(
  identity: ServiceIdentity,
  environment: TelemetryEnvironment,
  log: Log,
): Promise<Metrics> {
  if (environment.metrics === undefined && environment.scrape === undefined) return NO_METRICS;
  const { startMetrics } = await import('./sdk-metrics.js');
  return startMetrics(identity, environment, log);
}
