import { LariatError } from './errors.js';

/** The one file that a program is run from: its entry `…/main.js` and all that it imports, put together by the build. */
export function bundleOf(entry: string): string {
  return entry.replace(/\.js$/, '.bundle.js');
}

/** There is no way around it: a program that is run from its modules instead may be of another state of the sources. */
export function notBuilt(file: string): LariatError {
  return new LariatError({
    kind: 'precondition',
    code: 'PROGRAM_NOT_BUILT',
    message: `There is no ${file}: build it with 'npm run build' in the checkout.`,
  });
}
