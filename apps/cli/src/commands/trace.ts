import { LariatError } from '@lariat/kernel';
import type { Command } from 'commander';
import { formatTrace } from '../output/trace-tree.js';
import { online, type Runtime } from './runtime.js';
import { usageError } from '../context.js';

const TRACE_ID = /^[0-9a-f]{32}$/;
const OPERATION_ID = /^op-/;

export function addTraceCommand(program: Command, runtime: Runtime): void {
  program
    .command('trace')
    .description('draw the spans of one request, from the caller to the last call of a target')
    .argument('<id>', 'id of an operation, or a trace id: -v prints it, and errors name it')
    .action((id: string, _options: unknown, command: Command) => {
      if (!TRACE_ID.test(id) && !OPERATION_ID.test(id)) {
        throw usageError(
          `'${id}' is neither a trace id (32 hexadecimal digits in lower case) nor the id of an operation ('op-…').`,
        );
      }
      return online(runtime, command, async (session, { printer }) => {
        const { readTrace } = await import('@lariat/messaging');
        const traceId = OPERATION_ID.test(id)
          ? (await session.request('operation.get', { operation: id })).traceId
          : id;
        const spans = await readTrace(session.connection, traceId);
        if (spans.length === 0) {
          throw new LariatError({
            kind: 'not_found',
            code: 'TRACE_NOT_FOUND',
            message: `No span of trace ${traceId} is kept. Traces are kept for an hour, and until NATS restarts.`,
          });
        }
        printer.show({ traceId, spans }, () => formatTrace(spans));
      });
    });
}
