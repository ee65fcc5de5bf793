import { inject } from 'vitest';
import type { TestProject } from 'vitest/node';
import { run } from '../debian/programs.js';
import { startStack } from './running-stack.js';
import type { EngineAccess } from './engine-access.js';
import { compose, PLAIN, Stack } from './stack.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** How the engine that all files use is reached, or why there is none. */
    readonly engine: EngineAccess | { readonly missing: string };
  }
}

/** Makes engine, images and containers before the first file, and takes all of it away after the last. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const stack = await startStack();
  if (typeof stack === 'string') {
    project.provide('engine', { missing: stack });
    return () => Promise.resolve();
  }
  project.provide('engine', stack.access);
  return () => stack.stop();
}

/** Why there is no engine; undefined where there is one. */
export function whyNoEngine(): string | undefined {
  const engine = inject('engine');
  return 'missing' in engine ? engine.missing : undefined;
}

export function theEngine(): EngineAccess {
  const engine = inject('engine');
  if ('missing' in engine) throw new Error(engine.missing);
  return engine;
}

/** The containers that all files use; made anew when a file that had others of its own has removed them. */
export async function openStack(): Promise<Stack> {
  const engine = theEngine();
  const { stdout } = await run('docker', ['ps', '--quiet'], { env: engine.environment });
  if (stdout === '') await compose(engine, PLAIN, 'up', '--detach');
  return Stack.open(engine);
}
