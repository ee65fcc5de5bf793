// The plugin host as it is bundled: with Lariat's own plugins in it. A plugin from elsewhere shares modules with its host
// (Nest's classes, PLUGIN_CONTEXT), so a host of such a one is run from its modules, and all of its plugins with it.
import { readHostArguments } from '../libs/plugin/dist/host-arguments.js';

const BUILT_IN = {
  '@lariat/volume-svc': () => import('../apps/volume-svc/dist/index.js'),
  '@lariat/replica-svc': () => import('../apps/replica-svc/dist/index.js'),
  '@lariat/backing-image-svc': () => import('../apps/backing-image-svc/dist/index.js'),
};

function isBuiltIn(name) {
  return Object.hasOwn(BUILT_IN, name);
}

function namedPlugins() {
  try {
    return readHostArguments().plugin ?? [];
  } catch {
    // The host tells of it.
    return [];
  }
}

if (namedPlugins().every(isBuiltIn)) {
  const { runHost } = await import('../libs/plugin/dist/host.js');
  runHost(async (name) => (await BUILT_IN[name]()).plugin);
} else {
  await import(new URL('../../libs/plugin/dist/main.js', import.meta.url).href);
}
