import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { GlobalOptions } from '../context.js';
import { offline, type Runtime } from './runtime.js';

export function addDemoCommand(program: Command, runtime: Runtime): void {
  program
    .command('demo')
    .description(
      'the main job on three nodes, with real data: a volume survives the death of a node',
    )
    .option('--keep', 'leave the cluster running')
    .action((options: { keep?: boolean }, command: Command) =>
      offline(runtime, command, async (context) => {
        const { runDemo } = await import('../demo/run-demo.js');
        const { data } = command.optsWithGlobals<GlobalOptions>();
        const dataDir = data === undefined ? undefined : resolve(data);
        runtime.setExitCode(await runDemo(context, { keep: options.keep === true, dataDir }));
      }),
    );
}
