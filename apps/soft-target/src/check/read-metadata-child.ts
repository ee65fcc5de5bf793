import { readMetadata, type ChildAnswer } from './read-metadata.js';

/** Run by readMetadataApart, from its bundle, with the folder as its argument. */
const [folder = ''] = process.argv.slice(2);
let answer: ChildAnswer;
try {
  answer = { content: await readMetadata(folder) };
} catch (error) {
  answer = { error: (error as Error).message };
}
process.send?.(answer, () => process.disconnect());
