import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { CheckImpossible, checkPaths, type CheckReport } from './check-paths.js';
import { readMetadataApart, type ReadMetadata } from './read-metadata.js';

/** As fsck(8) ends. */
export const CheckExit = Object.freeze({
  clean: 0,
  repaired: 1,
  errors: 4,
  impossible: 8,
  usage: 16,
} as const);
export type CheckExit = (typeof CheckExit)[keyof typeof CheckExit];

const USAGE = `usage: soft-target check [--json] [--repair] STATE_DIR [DISK...]

Checks the lvol stores of a target that does not run: STATE_DIR is its --state-dir, and each DISK a file or block
device of its stores, whose size and superblock are then looked at as well.

  --json      the report as one JSON object
  --repair    give leaked clusters back, where nothing else is wrong; otherwise nothing is changed

It ends with 0 when all is well, 1 when all that was wrong has been repaired, 4 when something is wrong, 8 when it could
not be checked, and 16 for wrong arguments.
`;

interface Output {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
}

/** `soft-target check`: prints its report, and gives the exit code. */
export async function checkCommand(
  argv: readonly string[],
  { stdout, stderr }: Output,
  read: ReadMetadata = readMetadataApart,
): Promise<CheckExit> {
  let options: ReturnType<typeof parse>;
  try {
    options = parse(argv);
  } catch (error) {
    stderr.write(`soft-target check: ${(error as Error).message}\n\n${USAGE}`);
    return CheckExit.usage;
  }
  if (options.help) {
    stdout.write(USAGE);
    return CheckExit.clean;
  }
  try {
    const report = await checkPaths(options.paths, { repair: options.repair, read });
    stdout.write(options.json ? `${JSON.stringify(report, null, 2)}\n` : inWords(report));
    if (report.errors > 0) return CheckExit.errors;
    return report.repaired > 0 ? CheckExit.repaired : CheckExit.clean;
  } catch (error) {
    // What no one foresaw is told with its place.
    const known = error instanceof CheckImpossible;
    const { message, stack } = error as Error;
    stderr.write(`soft-target check: ${known ? message : (stack ?? message)}\n`);
    return CheckExit.impossible;
  }
}

function parse(argv: readonly string[]): {
  readonly paths: readonly string[];
  readonly json: boolean;
  readonly repair: boolean;
  readonly help: boolean;
} {
  const { values, positionals } = parseArgs({
    args: [...argv],
    options: {
      json: { type: 'boolean', default: false },
      repair: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
    allowPositionals: true,
  });
  if (positionals.length === 0 && !values.help) throw new Error('STATE_DIR is missing');
  return { ...values, paths: [...new Set(positionals.map((path) => resolve(path)))] };
}

function inWords({ stores, disks, notes, errors, repaired }: CheckReport): string {
  const lines: string[] = [];
  for (const store of stores) {
    const { name, uuid, lvols, usedClusters, totalClusters, disk } = store;
    lines.push(
      `store ${name ?? '?'} (${uuid}): ${lvols} lvols, ${usedClusters} of ${totalClusters} clusters, ${disk === null ? 'disk not given' : `on ${disk}`}`,
    );
    for (const { kind, message } of store.repaired) lines.push(`  repaired ${kind}: ${message}`);
    for (const { kind, message } of store.findings) lines.push(`  error ${kind}: ${message}`);
  }
  for (const { findings } of disks) {
    for (const { kind, message } of findings) lines.push(`error ${kind}: ${message}`);
  }
  for (const note of notes) lines.push(`note: ${note}`);
  lines.push(`${errors} error(s), ${repaired} repaired`);
  return `${lines.join('\n')}\n`;
}
