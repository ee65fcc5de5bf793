// Puts each program and its libraries into one file: finding and reading several hundred modules took most of the time
// from its start to its first useful answer (docs/performance.md). A folder as an argument: only the programs below it.
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative, sep } from 'node:path';
import { rolldown } from 'rolldown';
import { inputsRecord } from './bundle-inputs.mjs';
import { PROGRAMS } from './programs.mjs';

const ROOT = join(import.meta.dirname, '..');

/** Native code, what looks for its native code beside itself, and what few installations load. */
const OUTSIDE = [/^lmdb$/, /^msgpackr-extract$/, /^@node-rs\//, /^ioredis$/];

/** A module of an app finds its threads, children and data beside itself; one of a library, packages from the bundle. */
const placesOfModules = (file) => ({
  name: 'places-of-modules',
  transform: {
    filter: { id: /[\\/]apps[\\/][^\\/]+[\\/]dist[\\/]/, code: 'import.meta' },
    handler(code, id) {
      const path = `./${relative(dirname(file), id).replaceAll(sep, '/')}`;
      return {
        code: code
          .replaceAll(
            /\bimport\.meta\.url\b/g,
            `new URL(${JSON.stringify(path)}, import.meta.url).href`,
          )
          .replaceAll(
            /\bimport\.meta\.dirname\b/g,
            `(import.meta.dirname + ${JSON.stringify(`/${dirname(path)}`)})`,
          ),
        // No line moves.
        map: null,
      };
    },
  },
});

/** Nest asks for packages that are there in other applications, and goes on without; ours must be there. */
function tell(level, log, byDefault) {
  if (log.code === 'UNRESOLVED_IMPORT' && !/node_modules/.test(log.message)) {
    throw new Error(log.message);
  }
  if (!['UNRESOLVED_IMPORT', 'PLUGIN_TIMINGS'].includes(log.code)) byDefault(level, log);
}

/** Whoever starts the program meanwhile reads the old one or the new one, whole. */
function replace(path, content) {
  writeFileSync(`${path}.${process.pid}`, content);
  renameSync(`${path}.${process.pid}`, path);
}

async function bundle({ entry, file }) {
  const path = join(ROOT, file);
  const build = await rolldown({
    input: join(ROOT, entry),
    platform: 'node',
    external: OUTSIDE,
    // ES modules where a package has both: of them, what nobody uses is left out.
    resolve: { mainFields: ['module', 'main'] },
    plugins: [placesOfModules(path)],
    onLog: tell,
  });
  const { output } = await build.generate({
    file: path,
    format: 'esm',
    sourcemap: true,
    // Nest and logs tell of classes by their names.
    keepNames: true,
    codeSplitting: false,
  });
  await build.close();
  const modules = output[0].moduleIds
    .filter((id) => id.startsWith(ROOT + sep) && !/[\\/]node_modules[\\/]/.test(id))
    .map((id) => relative(ROOT, id))
    .toSorted();
  mkdirSync(dirname(path), { recursive: true });
  for (const part of output.toReversed()) {
    const content = part.type === 'asset' ? part.source : part.code;
    replace(join(dirname(path), basename(part.fileName)), content);
  }
  // Last: with the record of another build, none is taken for this one.
  const record = inputsRecord(ROOT, file, modules);
  replace(join(ROOT, record.path), record.content);
}

const folder = process.argv[2];
const wanted = PROGRAMS.filter(
  ({ file }) => folder === undefined || file.startsWith(join(folder, sep)),
);
await Promise.all(wanted.map(bundle));
