import type { RequestMap, RequestName } from '@lariat/contracts';
import type { CallScope } from '../grpc/messages.js';

/** Lariat's API, asked within the time that a caller has left. */
export interface ClusterPort {
  /**
   * What holds the object that the request is for is waited for, and the request sent again: a caller joins what runs
   * instead of being sent away. Throws a LariatError, or a Refusal when the caller has gone.
   */
  request<Name extends RequestName>(
    name: Name,
    body: RequestMap[Name]['request'],
    scope: CallScope,
  ): Promise<RequestMap[Name]['reply']>;
}
