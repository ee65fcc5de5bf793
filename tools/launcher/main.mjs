import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ensureBuild } from './build.mjs';
import { findNatsServer, ensureNatsServer } from './nats-server.mjs';
import { ensurePackages } from './packages.mjs';
import { CLI } from '../programs.mjs';
import { EXIT_NOT_SET_UP, SetupError, say } from './say.mjs';

/** Runs before anything is installed: nothing here may import a package. */
const root = join(import.meta.dirname, '..', '..');

/** Commands that start a NATS server; the others only speak to one. */
const NEEDS_NATS_SERVER = new Set(['up', 'demo', 'test']);

/** Words after the command are its own, so that a volume may be called `test`. */
function needsNatsServer(words) {
  const command = words.find((word) => !word.startsWith('-'));
  return command !== undefined && NEEDS_NATS_SERVER.has(command) && !words.includes('--help');
}

async function setUp(words) {
  await ensurePackages(root);
  await ensureBuild(root);
  if (needsNatsServer(words)) process.env.LARIAT_NATS_SERVER = await ensureNatsServer(root);
  else process.env.LARIAT_NATS_SERVER ??= findNatsServer(root);
}

try {
  await setUp(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  say(error.message);
  process.exit(EXIT_NOT_SET_UP);
}
// In this process: no second start-up time, and signals arrive without forwarding.
await import(pathToFileURL(join(root, CLI.file)).href);
