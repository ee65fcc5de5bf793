import { existsSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type PluginDefinition, isPluginDefinition } from './define-plugin.js';

/** Finds a plugin by path (file or folder with a package.json) or by package name; the package exports `plugin`. */
export async function loadPlugin(nameOrPath: string): Promise<PluginDefinition> {
  const url = resolvePlugin(nameOrPath);
  const module = (await import(url)) as { plugin?: unknown };
  if (!isPluginDefinition(module.plugin)) {
    throw new Error(
      `'${nameOrPath}' has no plugin: it must export \`plugin\`, made by definePlugin({ name, version, module }).`,
    );
  }
  return module.plugin;
}

function resolvePlugin(nameOrPath: string): string {
  const path = resolve(nameOrPath);
  if (!existsSync(path)) {
    const looksLikePath = nameOrPath.startsWith('.') || nameOrPath.startsWith('/');
    if (looksLikePath) throw new Error(`There is no plugin at '${path}'.`);
    return packageUrl(nameOrPath);
  }
  if (!statSync(path).isDirectory()) return pathToFileURL(path).href;
  const packageFile = join(path, 'package.json');
  if (!existsSync(packageFile)) throw new Error(`'${path}' is a folder with no package.json.`);
  const entry = join(path, entryOf(readFileSync(packageFile, 'utf8')));
  if (!existsSync(entry)) throw new Error(`'${entry}' is missing: build the plugin first.`);
  return pathToFileURL(entry).href;
}

function packageUrl(name: string): string {
  try {
    return import.meta.resolve(name);
  } catch (cause) {
    // Beside the working folder, where a user's own node_modules is.
    try {
      return pathToFileURL(createRequire(join(process.cwd(), 'noop.js')).resolve(name)).href;
    } catch {
      throw new Error(`There is no package '${name}': install it, or give a path.`, { cause });
    }
  }
}

function entryOf(packageJson: string): string {
  const { exports, main } = JSON.parse(packageJson) as { exports?: unknown; main?: unknown };
  const root =
    typeof exports === 'object' && exports !== null && '.' in exports ? exports['.'] : exports;
  if (typeof root === 'string') return root;
  if (typeof root === 'object' && root !== null) {
    const { import: imported, default: fallback } = root as { import?: unknown; default?: unknown };
    if (typeof imported === 'string') return imported;
    if (typeof fallback === 'string') return fallback;
  }
  return typeof main === 'string' ? main : 'index.js';
}
