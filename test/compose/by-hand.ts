import { once } from 'node:events';
import { startStack } from './running-stack.js';

/** Starts what the tests run on, says how it is reached, and takes it away when it is interrupted. */
const stack = await startStack();
if (typeof stack === 'string') {
  process.stderr.write(`${stack}\n`);
  process.exit(1);
}
const { environment, ...access } = stack.access;
const ours = Object.entries(environment).filter(([name, value]) => process.env[name] !== value);
process.stdout.write(`${JSON.stringify({ ...access, environment: Object.fromEntries(ours) })}\n`);
const awake = setInterval(() => undefined, 60_000);
await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
clearInterval(awake);
await stack.stop();
