import { spawn } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { lariatError } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';

/** Programs that images are given to. What they read is hostile, so each runs with as little as it can do with. */
export const Tool = Object.freeze({ qemuImg: 'qemu-img', xz: 'xz', zstd: 'zstd' } as const);
export type Tool = (typeof Tool)[keyof typeof Tool];

const PACKAGE_OF: Readonly<Record<Tool, string>> = {
  'qemu-img': 'qemu-utils',
  xz: 'xz-utils',
  zstd: 'zstd',
};

export interface ToolLimits {
  /** Processor time. */
  readonly cpuSeconds: number;
  /** The largest file it may make; 0: none. */
  readonly fileBytes: number;
  readonly memoryBytes: number;
}

/** Address space, of which qemu-img uses little: mostly the stacks of up to 64 threads, and what malloc sets aside. */
export const QEMU_MEMORY_BYTES = 2048 * MIB;

/** Of each thread; the default of 8 MiB is taken from the limit of memory whether it is used or not. */
const STACK_BYTES = 2 * MIB;

/** Where a program is; throws when it is not there. */
export async function findTool(tool: Tool, path: string): Promise<string> {
  const found = await findOnPath(tool, path);
  if (found !== null) return found;
  throw lariatError(
    'IMAGE_TOOL_MISSING',
    `this image needs ${tool}, which is not on ${process.platform === 'linux' ? 'this machine' : process.platform}; install ${PACKAGE_OF[tool]} (its Debian name) where the image service runs`,
    { tool },
  );
}

async function findOnPath(name: string, path: string): Promise<string | null> {
  for (const folder of path.split(delimiter)) {
    if (folder === '') continue;
    const candidate = join(folder, name);
    const isThere = await access(candidate, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return candidate;
  }
  return null;
}

/**
 * What is put before a program's command line, outermost first. The order matters: a new user namespace takes back
 * the signal at the parent's death, and a limit of memory is for the program, not for what starts it.
 */
const WRAPPERS: readonly (readonly string[])[] = [
  // No network: an image that talks a program into opening a url reaches nobody.
  ['unshare', '--user', '--net'],
  // No rights through set-uid programs; and its end with the service's, however that ends.
  ['setpriv', '--no-new-privs', '--pdeathsig', 'KILL'],
];

/** What of the above works on this machine: containers often forbid namespaces. Asked once a process. */
export class Sandbox {
  private constructor(
    readonly path: string,
    private readonly wrappers: readonly (readonly string[])[],
    private readonly prlimit: string,
  ) {}

  static async detect(path: string): Promise<Sandbox> {
    const prlimit = await findOnPath('prlimit', path);
    if (prlimit === null) {
      throw lariatError(
        'IMAGE_TOOL_MISSING',
        'images are converted and unpacked only within limits, which needs prlimit (Debian: util-linux)',
      );
    }
    const wrappers: (readonly string[])[] = [];
    for (const [name = '', ...args] of WRAPPERS) {
      const found = await findOnPath(name, path);
      if (found !== null && (await succeeds(found, [...args, 'true'], path)))
        wrappers.push([found, ...args]);
    }
    return new Sandbox(path, wrappers, prlimit);
  }

  /** The whole command line for a program: wrappers, limits, program. */
  commandLine(program: string, args: readonly string[], limits: ToolLimits): readonly string[] {
    const { cpuSeconds, fileBytes, memoryBytes } = limits;
    return [
      ...this.wrappers.flat(),
      this.prlimit,
      `--cpu=${Math.ceil(cpuSeconds)}`,
      `--fsize=${fileBytes}`,
      `--as=${memoryBytes}`,
      `--stack=${STACK_BYTES}`,
      '--nofile=64',
      '--core=0',
      '--',
      program,
      ...args,
    ];
  }
}

function succeeds(program: string, args: readonly string[], path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: 'ignore', timeout: 5000, env: { PATH: path } });
    child.on('error', () => resolve(false));
    child.on('exit', (code) => resolve(code === 0));
  });
}
