import { Command, CommanderError } from 'commander';
import { TracedFailure } from './client/session.js';
import { addClusterCommands } from './commands/cluster.js';
import { addCompletionCommand } from './commands/completion.js';
import { addAuditCommand } from './commands/audit.js';
import { addCredentialsCommand } from './commands/credentials.js';
import { addDeadLetterCommands } from './commands/dead-letter.js';
import { addDemoCommand } from './commands/demo.js';
import { addEventCommand } from './commands/event.js';
import { addDiskCommands, addNodeCommands } from './commands/node.js';
import { addImageCommands } from './commands/image.js';
import { addOperationCommands } from './commands/operation.js';
import { addOrphanCommands } from './commands/orphan.js';
import { addRebuildCommands } from './commands/rebuild.js';
import { addRecoverCommand } from './commands/recover.js';
import { addReplicaCommands } from './commands/replica.js';
import type { Runtime } from './commands/runtime.js';
import { addSnapshotCommands } from './commands/snapshot.js';
import { addTestCommand } from './commands/test.js';
import { addTraceCommand } from './commands/trace.js';
import { addDownCommand, addStatusCommand, addUpCommand } from './commands/up.js';
import { addVolumeCommands } from './commands/volume.js';
import { usageError } from './context.js';
import { EXIT_CODES_HELP, EXIT_OK } from './exit-codes.js';
import { Interruption } from './interruption.js';
import { Printer, type Streams } from './output/printer.js';

const EXAMPLES = `Examples:
  lariat demo                                   see a volume survive the death of a node
  lariat up --detach                            start a cluster of three nodes
  lariat volume create db --size 10GiB
  lariat volume attach db --node n1 --frontend nbd
  lariat snapshot create db before-upgrade
  lariat replica list db
  lariat event --follow
  lariat down`;

export function createProgram(runtime: Runtime): Command {
  const program = new Command('lariat')
    .description('Replicated block volumes.')
    .version('0.1.0')
    .option('--data <dir>', 'data folder of the cluster (default .lariat/cluster, or $LARIAT_DATA)')
    .option(
      '--nats <url>',
      'NATS of a cluster elsewhere (default: the one in the data folder, else $LARIAT_NATS_URL)',
    )
    .option('--json', 'print one JSON document, errors too')
    .option('--timeout <seconds>', 'how long to wait for a change (default 300)')
    .option('-v, --verbose', 'also print the trace id')
    .showHelpAfterError("(see '--help')")
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .addHelpText('after', `\n${EXAMPLES}\n\n${EXIT_CODES_HELP}`)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => runtime.streams.stdout.write(text),
      writeErr: (text) => runtime.streams.stderr.write(text),
    });

  program.commandsGroup('On this machine:');
  addUpCommand(program, runtime);
  addDownCommand(program, runtime);
  addStatusCommand(program, runtime);
  addDemoCommand(program, runtime);
  addTestCommand(program, runtime);
  addClusterCommands(program, runtime);
  addCredentialsCommand(program, runtime);

  program.commandsGroup('Volumes:');
  addVolumeCommands(program, runtime);
  addSnapshotCommands(program, runtime);
  addReplicaCommands(program, runtime);
  addRebuildCommands(program, runtime);
  addImageCommands(program, runtime);
  addNodeCommands(program, runtime);
  addDiskCommands(program, runtime);
  addOrphanCommands(program, runtime);
  addRecoverCommand(program, runtime);

  program.commandsGroup('What happens:');
  addOperationCommands(program, runtime);
  addEventCommand(program, runtime);
  addTraceCommand(program, runtime);
  addAuditCommand(program, runtime);
  addDeadLetterCommands(program, runtime);

  program.commandsGroup('More:');
  addCompletionCommand(program, runtime);
  program.helpCommand('help [command]', 'show the help of a command');
  return program;
}

/** Runs one command line; answers its exit code. */
export async function run(
  words: readonly string[],
  streams: Streams,
  interruption: Interruption,
): Promise<number> {
  let exitCode = EXIT_OK;
  const isJson = words.includes('--json');
  // With --json the document is the answer: commander's own text would be a second one.
  const shown: Streams = isJson
    ? { stdout: streams.stdout, stderr: { write: () => undefined } }
    : streams;
  const program = createProgram({
    streams: shown,
    interruption,
    setExitCode: (code) => {
      exitCode = code;
    },
  });
  const printer = new Printer(streams, isJson);
  try {
    await program.parseAsync([...words], { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) {
      // Help and version are asked for; help shown because a subcommand is missing is not.
      if (error.exitCode === 0) return EXIT_OK;
      const usage = usageError(error.message.replace(/^error: /, ''));
      return isJson ? printer.fail(usage) : EXIT_USAGE;
    }
    if (error instanceof TracedFailure) return printer.fail(error.cause, error.traceId);
    return printer.fail(error);
  }
}

const EXIT_USAGE = 2;
