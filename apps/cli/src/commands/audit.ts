import type { AuditEntry } from '@lariat/contracts';
import type { Command } from 'commander';
import { given } from '../client/given.js';
import { auditTable } from '../output/audit.js';
import { online, parseCount, type Runtime } from './runtime.js';

interface AuditOptions {
  readonly actor?: string;
  readonly request?: string;
  readonly on?: string;
  readonly result?: AuditEntry['result'];
  readonly limit?: number;
}

export function addAuditCommand(program: Command, runtime: Runtime): void {
  program
    .command('audit')
    .description('who asked for what, when, and with what result')
    // `lariat audit` alone lists.
    .command('list', { isDefault: true })
    .alias('ls')
    .description('list the newest requests that may have changed something, oldest first')
    .option('--actor <name>', 'only what this one asked for')
    .option('--request <name>', "only this request, e.g. 'volume.delete'")
    .option(
      '--on <name>',
      'only what named this volume, node, image … (name or id, as in the request)',
    )
    .option('--result <result>', 'ok, refused, failed, or unanswered')
    .option('--limit <n>', 'of the newest ones, at most this many (default 100)', parseCount)
    .action((options: AuditOptions, command: Command) =>
      online(runtime, command, async (session, { printer }) => {
        const { actor, request, on: thing, result, limit } = options;
        const filter = given({ actor, request, thing, result, limit });
        const reply = await session.request('audit.list', filter);
        printer.show(reply, () => auditTable(reply.entries));
      }),
    );
}
