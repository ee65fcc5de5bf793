import { lariatError } from '@lariat/contracts';
import { toLariatError } from '@lariat/kernel';
import type { LogPort } from '../ports/log.port.js';
import type { TargetLife, TargetPort } from '../ports/target.port.js';
import type { HandlersOf } from './command-handlers.js';
import type { TargetKeeper } from './target-keeper.js';

export interface TargetCommandParts {
  readonly target: TargetPort;
  readonly life: Pick<TargetLife, 'isOurs' | 'versionOfBinary'>;
  readonly keeper: Pick<TargetKeeper, 'restart' | 'whenReady'>;
  readonly log: LogPort;
}

/** What takes longer to end is killed: its stores survive that, and writers wait meanwhile. */
const STOP_DEADLINE_MS = 2_000;
const BACK_WITHIN_MS = 60_000;

interface Before {
  readonly instance: string;
  readonly version: string;
}

/** Commands on the target process itself. */
export function targetCommands({
  target,
  life,
  keeper,
  log,
}: TargetCommandParts): HandlersOf<'target'> {
  async function refuseUnlessItStarts(): Promise<void> {
    if (!life.isOurs) {
      throw lariatError(
        'TARGET_NOT_OURS',
        "this node's target is started by others; restart it there: its agent puts back what it had",
      );
    }
    try {
      log.info('target is to be restarted', { binary: await life.versionOfBinary() });
    } catch (reason) {
      throw lariatError(
        'TARGET_BINARY_BROKEN',
        `the target was left running: its binary does not tell its version (${toLariatError(reason).message}); put a working one there`,
        undefined,
        reason,
      );
    }
  }

  return {
    'target.restart': async (_input, context) => {
      const noted = context.noted() as Before | undefined;
      const before = noted ?? { instance: target.instance, version: target.version };
      if (noted === undefined) {
        await refuseUnlessItStarts();
        // On record first: delivered again, the command must not end the target that came of it.
        await context.note(before);
      }
      if (target.instance === before.instance) await keeper.restart(STOP_DEADLINE_MS);
      await keeper.whenReady(BACK_WITHIN_MS);
      return { from: before.version, to: target.version };
    },
  };
}
