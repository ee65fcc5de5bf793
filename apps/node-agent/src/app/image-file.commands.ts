import type { FileServingPort } from '../ports/file-serving.port.js';
import type { CommandHandlers } from './command-handlers.js';

export type ImageFileCommandName = 'image.serve-file';

/** Files of this node that images are made of (docs/adr/0021). */
export function imageFileCommands(
  files: FileServingPort,
): Pick<CommandHandlers, ImageFileCommandName> {
  return { 'image.serve-file': (input) => files.serve(input) };
}
