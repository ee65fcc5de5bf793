/**
 * For consumers that wait for messages. A server that was stopped or started anew may have lost the pull that waits
 * there; nothing comes then until two heartbeats were missed, a minute with the client's own default.
 */
export const QUICK_HEARTBEATS = { idle_heartbeat: 1_000 } as const;
