import { parseArgs } from 'node:util';
import { BUS_VARIABLES } from '@lariat/messaging';
import { TELEMETRY_VARIABLES } from '@lariat/telemetry';

export const USAGE = `Usage: lariat-plugins --nats URL [--redis URL] --plugin NAME-OR-PATH [--plugin ...]

Runs plugins in one process, each as a service of its own. Also from the environment:
LARIAT_NATS_URL, LARIAT_REDIS_URL,
${BUS_VARIABLES}
and OpenTelemetry's variables:
${TELEMETRY_VARIABLES}`;

export interface HostArguments {
  readonly nats?: string | undefined;
  readonly redis?: string | undefined;
  readonly plugin?: readonly string[] | undefined;
  readonly help?: boolean | undefined;
}

export function readHostArguments(): HostArguments {
  return parseArgs({
    options: {
      nats: { type: 'string' },
      redis: { type: 'string' },
      plugin: { type: 'string', multiple: true },
      help: { type: 'boolean' },
    },
  }).values;
}
