import type { OtlpReceiver } from '@lariat/testing';
import { type E2eCluster, startE2e } from './e2e-cluster.js';

/** These need something lost or left over first: a node, what nobody owns, a copy of an image. */
export const SAGAS_OF_TROUBLE = ['node.remove', 'orphan.delete', 'image.spread'] as const;

/** A cluster that sends its spans and metrics to the receiver, soon, and rebuilds nothing unasked. */
export const startWithCollector = ({ endpoint }: OtlpReceiver): Promise<E2eCluster> =>
  startE2e({
    env: {
      ...process.env,
      LARIAT_REBUILD: 'manual',
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      OTEL_METRIC_EXPORT_INTERVAL: '1000',
      OTEL_BSP_SCHEDULE_DELAY: '200',
    },
  });
