import { readCommandId, readOpcode } from '../nvme/entry.js';
import { AdminOpcode } from '../nvme/opcodes.js';
import { doNotRetry, Status } from '../nvme/status.js';
import { type CommandOutcome, SUCCESS, type TargetCommand } from './command.js';
import type { TargetController } from './controller.js';
import { abort, getFeatures, setFeatures } from './feature-commands.js';
import { getLogPage } from './get-log-page.js';
import { identify } from './identify-command.js';

export function executeAdmin(controller: TargetController, command: TargetCommand): CommandOutcome {
  if (!controller.isEnabled) return { status: doNotRetry(Status.commandSequenceError) };
  switch (readOpcode(command.entry)) {
    case AdminOpcode.identify:
      return identify(controller, command);
    case AdminOpcode.getLogPage:
      return getLogPage(controller, command);
    case AdminOpcode.setFeatures:
      return setFeatures(controller, command);
    case AdminOpcode.getFeatures:
      return getFeatures(controller, command);
    case AdminOpcode.abort:
      return abort(controller, command);
    case AdminOpcode.asyncEventRequest:
      return controller.events.request(readCommandId(command.entry));
    case AdminOpcode.keepAlive:
      return SUCCESS;
    default:
      return { status: doNotRetry(Status.invalidOpcode) };
  }
}
