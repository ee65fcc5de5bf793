/** Unix sockets of processes that the agent started. */
export interface SocketsPort {
  /** Whether something accepts a connection there now. */
  accepts(path: string): Promise<boolean>;
  /** Removes the socket's file; does nothing when there is none. */
  remove(path: string): Promise<void>;
}
