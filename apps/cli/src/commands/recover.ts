import type { Command } from 'commander';
import { mutate } from '../client/mutate.js';
import { recoveryText } from '../output/recovery-view.js';
import { operationDetails } from '../output/views.js';
import {
  collect,
  dryRun,
  type DryRunOption,
  noWait,
  online,
  type Runtime,
  type WaitOption,
} from './runtime.js';

interface RecoverOptions extends WaitOption, DryRunOption {
  readonly acceptDataLoss?: readonly string[];
}

/** Not all volumes and images are back: somebody has to look. */
const EXIT_INCOMPLETE = 1;

export function addRecoverCommand(parent: Command, runtime: Runtime): void {
  parent
    .command('recover')
    .description('put back volumes and images that NATS has lost, from what the nodes keep')
    .option(
      '--accept-data-loss <volume or image>',
      'put this one back though something newer may be lost (may be repeated)',
      collect,
    )
    .addOption(dryRun())
    .addOption(noWait())
    .action((options: RecoverOptions, command: Command) =>
      online(runtime, command, async (session, context) => {
        const body = {
          ...(options.dryRun === undefined ? {} : { dryRun: options.dryRun }),
          ...(options.acceptDataLoss === undefined
            ? {}
            : { acceptDataLoss: [...options.acceptDataLoss] }),
        };
        const outcome = await mutate(context, session, 'cluster.recover', body, options.wait);
        if (!outcome.done) {
          const { operation } = outcome;
          context.printer.show({ operation }, () => operationDetails(operation));
          return;
        }
        const { reply } = outcome;
        context.printer.show(reply, () => recoveryText(reply));
        if ([...reply.volumes, ...reply.images].some(({ outcome: is }) => is !== 'recovered'))
          runtime.setExitCode(EXIT_INCOMPLETE);
      }),
    );
}
