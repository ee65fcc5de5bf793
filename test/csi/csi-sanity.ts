import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';

const CHECKOUT = join(import.meta.dirname, '..', '..');
export const SANITY_VERSION = 'v5.6.0';
const MODULE = 'github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity';
const FOLDER = join(CHECKOUT, '.lariat', 'bin');

/** A program on PATH, or where Go puts itself. */
function goPath(): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/go/bin'];
  return folders.map((folder) => join(folder, 'go')).find((path) => existsSync(path));
}

/** Another version is another program. */
const sanityPath = (): string => join(FOLDER, `csi-sanity-${SANITY_VERSION}`);

interface Ended {
  readonly code: number | null;
  readonly output: string;
}

function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, output: Buffer.concat(chunks).toString() }));
  });
}

/** Of Go's messages, those that say that the network is missing and not that something is wrong with what it builds. */
const NO_NETWORK =
  /dial tcp|no such host|i\/o timeout|connection refused|TLS handshake timeout|module lookup disabled/;

/** Builds the program, once at the pinned version. Answers why it can't be run here; undefined when it can. */
export async function whyNoSanity(): Promise<string | undefined> {
  if (existsSync(sanityPath())) return undefined;
  const go = goPath();
  if (go === undefined) return 'there is no Go to build it with';
  mkdirSync(FOLDER, { recursive: true });
  // Whole under its name, or not there: a build that is killed leaves a part in another place.
  const parts = mkdtempSync(join(FOLDER, 'csi-sanity-'));
  try {
    const env = { ...process.env, GOBIN: parts, GOFLAGS: '-modcacherw' };
    const built = await run(go, ['install', `${MODULE}@${SANITY_VERSION}`], env);
    if (built.code === 0) renameSync(join(parts, 'csi-sanity'), sanityPath());
    else if (NO_NETWORK.test(built.output)) return 'its modules can not be fetched';
    else throw new Error(`csi-sanity was not built: ${built.output}`);
  } finally {
    rmSync(parts, { recursive: true, force: true });
  }
  return undefined;
}

export interface SanityRun {
  readonly socketPath: string;
  readonly folder: string;
  readonly access: 'mount' | 'block';
  readonly skip?: string;
  readonly parameters: Readonly<Record<string, string>>;
  readonly mutableParameters: Readonly<Record<string, string>>;
  readonly sizeBytes: number;
}

export interface SanityResult {
  readonly passed: readonly string[];
  /** With the reason that the spec gives. */
  readonly skipped: readonly string[];
  readonly failed: readonly string[];
}

interface Spec {
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly LeafNodeText: string;
  readonly LeafNodeType: string;
  readonly State: string;
  readonly Failure?: { readonly Message: string };
}

const yamlOf = (values: Readonly<Record<string, string>>): string =>
  Object.entries(values)
    .map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`)
    .join('');

/** Runs the specs against a plugin, and reads each one's end from its report. */
export async function runSanity(options: SanityRun): Promise<SanityResult> {
  const { folder } = options;
  mkdirSync(folder, { recursive: true });
  const file = (name: string): string => join(folder, name);
  writeFileSync(file('parameters.yaml'), yamlOf(options.parameters));
  writeFileSync(file('mutable.yaml'), yamlOf(options.mutableParameters));
  const report = file('report.json');
  const ended = await run(
    sanityPath(),
    [
      `--csi.endpoint=unix://${options.socketPath}`,
      `--csi.mountdir=${file('mount')}`,
      `--csi.stagingdir=${file('staging')}`,
      `--csi.testvolumeparameters=${file('parameters.yaml')}`,
      `--csi.testvolumemutableparameters=${file('mutable.yaml')}`,
      `--csi.testvolumesize=${options.sizeBytes}`,
      `--csi.testvolumeexpandsize=${2 * options.sizeBytes}`,
      `--csi.testvolumeaccesstype=${options.access}`,
      `--ginkgo.json-report=${report}`,
      '--ginkgo.no-color',
      ...(options.skip === undefined ? [] : [`--ginkgo.skip=${options.skip}`]),
    ],
    process.env,
  );
  if (!existsSync(report)) throw new Error(`csi-sanity gave no report: ${ended.output}`);
  const [suite] = JSON.parse(readFileSync(report, 'utf8')) as [
    { readonly SpecReports: readonly Spec[] | null },
  ];
  const specs = (suite.SpecReports ?? []).filter(({ LeafNodeType }) => LeafNodeType === 'It');
  const told = (spec: Spec): string =>
    [
      [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText].join(' '),
      ...(spec.Failure === undefined ? [] : [spec.Failure.Message]),
    ].join(': ');
  const of = (...states: readonly string[]): readonly string[] =>
    specs.filter(({ State }) => states.includes(State)).map(told);
  return {
    passed: of('passed'),
    skipped: of('skipped', 'pending'),
    failed: of('failed', 'panicked', 'interrupted', 'timedout', 'aborted'),
  };
}
