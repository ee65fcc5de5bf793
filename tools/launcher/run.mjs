import { spawn } from 'node:child_process';

/**
 * Runs a program without a shell and keeps what it prints, so that a success is silent.
 * Answers `{ code, output }`; a program that cannot be started has code 127.
 */
export function run(command, args, { cwd, timeoutMs } = {}) {
  return new Promise((resolve) => {
    let output = '';
    const child = spawn(command, args, {
      cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(timeoutMs === undefined ? {} : { timeout: timeoutMs }),
    });
    const keep = (chunk) => {
      output += chunk;
    };
    child.stdout.setEncoding('utf8').on('data', keep);
    child.stderr.setEncoding('utf8').on('data', keep);
    child.on('error', (error) => resolve({ code: 127, output: error.message }));
    child.on('close', (code, signal) =>
      resolve({ code: code ?? 128, output: signal === null ? output : `${output}(${signal})` }),
    );
  });
}

/** The last lines of a program's output: where it says what went wrong. */
export const tail = (output, lines = 20) => output.trim().split('\n').slice(-lines).join('\n');
