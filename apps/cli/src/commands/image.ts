import type { Command } from 'commander';
import { imageTable } from '../output/views.js';
import { online, type Runtime } from './runtime.js';

export function addImageCommands(program: Command, runtime: Runtime): void {
  const image = program.command('image').description('disk images that volumes are made from');

  image
    .command('list')
    .alias('ls')
    .description('list the images')
    .action((_options: unknown, command: Command) =>
      online(runtime, command, async (session, { printer }) => {
        const reply = await session.request('image.list', {});
        printer.show(reply, () =>
          reply.images.length === 0 ? 'no images' : imageTable(reply.images),
        );
      }),
    );

  image
    .command('get')
    .description('show one image')
    .argument('<image>', 'name or id')
    .action((name: string, _options: unknown, command: Command) =>
      online(runtime, command, async (session, { printer }) => {
        const reply = await session.request('image.get', { image: name });
        printer.show(reply, () => imageTable([reply]));
      }),
    );
}
