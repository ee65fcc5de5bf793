import { LariatError } from '@lariat/kernel';
import type { Command } from 'commander';
import { formatTrace } from '../output/trace-tree.js';
import { online, type Runtime } from './runtime.js';
import { usageError } from '../context.js';

const TRACE_ID = /^[0-9a-f]{32}$/;

export function addTraceCommand(program: Command, runtime: Runtime): void {
  program
    .command('trace')
    .description('draw the spans of one request, from the caller to the last call of a target')
    .argument('<id>', 'trace id: -v prints it, and errors and operations name it')
    .action((id: string, _options: unknown, command: Command) => {
      if (!TRACE_ID.test(id)) {
        throw usageError(`A trace id is 32 hexadecimal digits in lower case; '${id}' is not one.`);
      }
      return online(runtime, command, async (session, { printer }) => {
        const { readTrace } = await import('@lariat/messaging');
        const spans = await readTrace(session.connection, id);
        if (spans.length === 0) {
          throw new LariatError({
            kind: 'not_found',
            code: 'TRACE_NOT_FOUND',
            message: `No span of trace ${id} is kept. Traces are kept for an hour, and until NATS restarts.`,
          });
        }
        printer.show({ traceId: id, spans }, () => formatTrace(spans));
      });
    });
}
