/**
 * A program for `node -e`: appends lines to the file that it is given, each on disk before the next, until SIGTERM; prints
 * how many then.
 */
export const lineWriter = (pauseMs: number): string => `
  const fs = require('node:fs');
  const file = fs.openSync(process.argv[1], 'a');
  let go = true;
  process.on('SIGTERM', () => { go = false; });
  const step = (count) => {
    if (!go) { process.stdout.write(String(count)); return; }
    fs.writeSync(file, 'line ' + count + '\\n');
    fs.fsyncSync(file);
    setTimeout(step, ${pauseMs}, count + 1);
  };
  step(0);`;
