import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { programFile } from '@lariat/cli';

/**
 * A program that is called as spdk_tgt is, and serves what stock SPDK has alone: for agents that are told
 * `--target spdk --spdk-bin` it. What it keeps is beside its RPC socket.
 */
export function writeStockTarget(folder: string): string {
  const path = join(folder, 'stock-target');
  const target = [process.execPath, programFile('apps', 'soft-target', 'dist', 'main.js')]
    .map((word) => `'${word}'`)
    .join(' ');
  const lines = [
    '#!/bin/sh',
    `[ "$1" = --version ] && exec ${target} --version`,
    // -r SOCKET, and what is of DPDK only.
    `exec ${target} --rpc-socket "$2" --state-dir "$(dirname "$2")/target" --personality stock`,
  ];
  writeFileSync(path, `${lines.join('\n')}\n`, { mode: 0o755 });
  return path;
}
