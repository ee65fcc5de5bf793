import type { HandlersOf } from './command-handlers.js';
import type { Disks } from './disks.js';

/** Commands on disks. */
export function diskCommands(disks: Disks): HandlersOf<'disk'> {
  return {
    'disk.add': (input, context) => disks.add(input, context.operation),
    'disk.remove': async ({ disk }) => {
      await disks.remove(disk);
      return {};
    },
  };
}
