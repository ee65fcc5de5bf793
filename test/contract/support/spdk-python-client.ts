import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The release whose error codes the contract has. */
const VERSION = '26.5';
/** sha256 of spdk-26.5-py3-none-any.whl on PyPI. */
const WHEEL_SHA256 = '0a1151b904644c6b4a7e9dc2ee062c0c3074f484ae3fde2e55e3659075a4f0f8';

const CACHE = join(import.meta.dirname, '..', '..', '..', '.lariat', 'python');
const INSTALLED = join(CACHE, `spdk-${VERSION}`);
const INSTALL_TIMEOUT_MS = 90_000;
const CALL_TIMEOUT_MS = 30_000;

/** SPDK's own JSON-RPC client, the package `spdk` of PyPI. */
export interface SpdkPythonClient {
  /**
   * Runs `spdk-rpc` with `args` against the target at `rpcSocket`; gives what it printed, trimmed.
   * Rejects with what it printed when the target refused the call.
   */
  call(rpcSocket: string, ...args: readonly string[]): Promise<string>;
}

/** The client, installed below `.lariat` once for all runs, or why it cannot be had on this machine. */
export async function spdkPythonClient(): Promise<SpdkPythonClient | string> {
  if (!existsSync(INSTALLED)) {
    const missing = await install();
    if (missing !== undefined) return missing;
  }
  return { call };
}

async function call(rpcSocket: string, ...args: readonly string[]): Promise<string> {
  const timeoutSeconds = String(CALL_TIMEOUT_MS / 1000);
  const { stdout } = await run(
    'python3',
    ['-m', 'spdk.spdk_rpc', '-s', rpcSocket, '-t', timeoutSeconds, ...args],
    {
      env: { ...process.env, PYTHONPATH: INSTALLED },
      timeout: CALL_TIMEOUT_MS,
    },
  ).catch((error: unknown) => {
    const { stdout: printed, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`spdk-rpc ${args.join(' ')}: ${printed ?? ''}${stderr ?? ''}`.trim(), {
      cause: error,
    });
  });
  return stdout.trim();
}

async function install(): Promise<string | undefined> {
  try {
    await run('python3', ['-m', 'pip', '--version']);
  } catch {
    return 'python3 with pip is not installed';
  }
  await mkdir(CACHE, { recursive: true });
  const folder = await mkdtemp(join(CACHE, 'installing-'));
  try {
    const requirements = join(folder, 'requirements.txt');
    await writeFile(requirements, `spdk==${VERSION} --hash=sha256:${WHEEL_SHA256}\n`);
    const site = join(folder, 'site');
    await pip('install', '--target', site, '--requirement', requirements);
    // Appears whole or not at all, so that an interrupted install is not taken for a finished one.
    await rename(site, INSTALLED);
    return undefined;
  } catch (error) {
    const reason = String((error as { stderr?: string }).stderr ?? error).trim();
    // What PyPI gave is not what was pinned: not a machine without network.
    if (/hash/i.test(reason)) throw error;
    return `spdk ${VERSION} cannot be had from PyPI: ${reason.split('\n').at(-1)}`;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function pip(...args: readonly string[]): Promise<void> {
  await run(
    'python3',
    [
      '-m',
      'pip',
      '--disable-pip-version-check',
      '--retries=1',
      ...args,
      '--no-deps',
      '--only-binary=:all:',
      '--require-hashes',
    ],
    { timeout: INSTALL_TIMEOUT_MS },
  );
}
