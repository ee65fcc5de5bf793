import { Interruption } from './interruption.js';
import { run } from './program.js';

const interruption = new Interruption();
interruption.listen();
// A reader that has seen enough (`lariat event | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
const { stdout, stderr } = process;
process.exitCode = await run(process.argv.slice(2), { stdout, stderr }, interruption);
