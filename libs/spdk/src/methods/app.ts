import type { CallOptions, RpcCaller } from '../json-rpc/spdk-client.js';
import { count, flag, list, record, text, type Parse } from '../result/fields.js';

export interface SpdkVersion {
  /** e.g. `SPDK v26.05`; soft-target says its own name. */
  readonly version: string;
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
}

export const parseVersion: Parse<SpdkVersion> = record((fields) => ({
  version: fields.required('version', text),
  ...fields.required(
    'fields',
    record((numbers) => ({
      major: numbers.required('major', count),
      minor: numbers.required('minor', count),
      patch: numbers.required('patch', count),
    })),
  ),
}));

/** One event of `notify_get_notifications`; `subject` is the bdev's name for bdev events. */
export interface SpdkNotification {
  readonly id: number;
  readonly type: string;
  readonly subject: string;
}

const parseNotification: Parse<SpdkNotification> = record((fields) => ({
  id: fields.required('id', count),
  type: fields.required('type', text),
  subject: fields.required('ctx', text),
}));

export type KillSignal = 'SIGINT' | 'SIGTERM' | 'SIGQUIT' | 'SIGHUP' | 'SIGKILL' | 'SIGUSR1';

/** The target process itself: version, methods, notifications, end. */
export class AppMethods {
  constructor(private readonly rpc: RpcCaller) {}

  async getVersion(): Promise<SpdkVersion> {
    return parseVersion(await this.rpc.call('spdk_get_version'), 'spdk_get_version');
  }

  /** All methods that may be called now; tells what a target has beyond stock SPDK. */
  async getMethods(): Promise<readonly string[]> {
    return list(text)(await this.rpc.call('rpc_get_methods', { current: true }), 'rpc_get_methods');
  }

  /** Answered once the target's subsystems are up. */
  async waitInit(options?: CallOptions): Promise<void> {
    flag(await this.rpc.call('framework_wait_init', undefined, options), 'framework_wait_init');
  }

  /** The answer may be lost with the connection: the signal can be faster. */
  async killInstance(signal: KillSignal): Promise<void> {
    flag(await this.rpc.call('spdk_kill_instance', { sig_name: signal }), 'spdk_kill_instance');
  }

  /** Events from `fromId` on, oldest first; SPDK keeps the last 1024. */
  async getNotifications(fromId: number, max?: number): Promise<readonly SpdkNotification[]> {
    const params = { id: fromId, ...(max === undefined ? {} : { max }) };
    const result = await this.rpc.call('notify_get_notifications', params);
    return list(parseNotification)(result, 'notify_get_notifications');
  }
}
