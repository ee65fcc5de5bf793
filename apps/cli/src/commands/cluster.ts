import { credentialsFile } from '@lariat/bus';
import type { Command } from 'commander';
import { given } from '../client/given.js';
import { askSupervisor, type ControlRequest } from '../cluster/control.js';
import type { ProcessRecord } from '../cluster/cluster-file.js';
import { processTable, toProcessViews } from './cluster-view.js';
import { offline, parseSize, type Runtime } from './runtime.js';
import { addRecoverCommand } from './recover.js';

/** For trying out what happens: nodes come, go and die. */
export function addClusterCommands(program: Command, runtime: Runtime): void {
  const cluster = program
    .command('cluster')
    .description('nodes and processes of the cluster that runs on this machine');
  // By the name of its request too.
  addRecoverCommand(cluster, runtime);

  const ask = (
    command: Command,
    request: ControlRequest,
    text: (reply: unknown) => string,
  ): Promise<void> =>
    offline(runtime, command, async ({ paths, printer }) => {
      const reply = await askSupervisor(paths.controlSocket, request);
      printer.show(reply, () => text(reply));
    });

  cluster
    .command('list')
    .description('list the processes')
    .action((_options: unknown, command: Command) =>
      ask(command, { command: 'list' }, (reply) =>
        processTable(toProcessViews((reply as { processes: readonly ProcessRecord[] }).processes)),
      ),
    );

  cluster
    .command('add-node')
    .description('start one more node')
    .argument('<name>', 'a DNS label: a-z, 0-9 and -')
    .option('--disk-size <size>', 'size of its disk (default: as the others)', parseSize)
    .action((name: string, options: { diskSize?: number }, command: Command) =>
      ask(
        command,
        {
          command: 'add-node',
          name,
          ...given({ diskSizeBytes: options.diskSize }),
        },
        () => `node ${name} is ready`,
      ),
    );

  const onNode = (
    verb: 'start-node' | 'stop-node' | 'remove-node' | 'kill-node',
    description: string,
    done: string,
  ): void => {
    cluster
      .command(verb)
      .description(description)
      .argument('<name>')
      .action((name: string, _options: unknown, command: Command) =>
        ask(command, { command: verb, name }, () => `node ${name} ${done}`),
      );
  };
  onNode('start-node', 'start a node again that was stopped or killed', 'is ready');
  onNode('stop-node', 'stop a node in order', 'is stopped');
  onNode('remove-node', 'stop a node and do not start it with the next up', 'is removed');
  onNode('kill-node', 'SIGKILL to agent, target and frontends; it stays down', 'is killed');

  cluster
    .command('admit-node')
    .description('let in the agent of a node on another machine')
    .argument('<name>', 'a DNS label: a-z, 0-9 and -')
    .action((name: string, _options: unknown, command: Command) =>
      offline(runtime, command, async ({ paths, printer }) => {
        await askSupervisor(paths.controlSocket, { command: 'admit-node', name });
        const file = credentialsFile(paths.credentials, { kind: 'agent', node: name });
        printer.show({ admitted: name, credentials: file }, () =>
          [
            `NATS lets in the agent of node ${name}`,
            `copy ${file} to its machine, and name it there in LARIAT_NATS_CREDENTIALS`,
          ].join('\n'),
        );
      }),
    );

  cluster
    .command('kill')
    .description('SIGKILL to one process, which is started again')
    .argument('<process>', 'as listed, e.g. services, n1, n1/target, nats')
    .action((name: string, _options: unknown, command: Command) =>
      ask(command, { command: 'kill', name }, () => `${name} was killed`),
    );
}
