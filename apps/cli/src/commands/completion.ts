import { Argument, type Command } from 'commander';
import { bashCompletion, fishCompletion, toWordTree, zshCompletion } from '../output/completion.js';
import type { Runtime } from './runtime.js';

const SHELLS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const;

export function addCompletionCommand(program: Command, runtime: Runtime): void {
  program
    .command('completion')
    .description('print a completion script: eval "$(lariat completion bash)"')
    .addArgument(new Argument('<shell>').choices(Object.keys(SHELLS)))
    .action((shell: keyof typeof SHELLS) => {
      runtime.streams.stdout.write(SHELLS[shell](toWordTree(program)));
    });
}
