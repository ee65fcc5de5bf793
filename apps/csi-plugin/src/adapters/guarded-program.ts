import type { DeviceFacts } from '../domain/device.js';
import type { Program } from '../domain/program.js';

/** Its exit code when the program was not begun; none of those that are guarded has it. */
export const NOT_BEGUN = 119;

/**
 * The device is open from before the last look at what it stands on until the program has ended, so that the kernel can't
 * give its number to another one in between.
 */
const SCRIPT = `{
  [ "$PPID" = "$1" ] && [ -n "$4" ] && [ "$(cat "$3")" = "$4" ] || exit ${NOT_BEGUN}
  shift 4
  exec "$@"
} 9<"$2"
exit ${NOT_BEGUN}`;

/**
 * A program that writes on a device, so that it does it on that very device alone, and never outlives who began it: one that
 * a dead process has left would go on once others have mounted the device and put it away again.
 */
export const guarded = (
  { program, args }: Program,
  { path, footing }: DeviceFacts,
  parentPid: number,
): Program => ({
  program: 'setpriv',
  args: [
    ...['--pdeathsig', 'KILL', 'sh', '-c', SCRIPT, 'guard'],
    ...[String(parentPid), path, footing?.toldBy ?? '', footing?.text ?? ''],
    ...[program, ...args],
  ],
});
