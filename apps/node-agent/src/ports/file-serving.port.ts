import type { CommandMap } from '@lariat/contracts';

type ServeFile = CommandMap['image.serve-file'];

/** Answers the image service for the bytes of this node's files. */
export interface FileServingPort {
  /** Ends what was served under the token before. */
  serve(input: ServeFile['input']): Promise<ServeFile['output']>;
}
