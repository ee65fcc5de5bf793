import { delay, LariatError } from '@lariat/kernel';
import { inboxOf, readSeed, requestSubject } from '@lariat/bus';
import { connect, nkeyAuthenticator } from '@nats-io/transport-node';

const POLL_MS = 50;

interface NodeListReply {
  readonly data?: { readonly nodes: readonly { readonly name: string; readonly state: string }[] };
}

/** An agent that serves is ready for volumes once the services have heard of it. */
export async function waitForNodes(
  natsUrl: string,
  credentials: string,
  names: readonly string[],
  timeoutMs: number,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  // Plain NATS: the client library would cost each start half a second.
  const role = { kind: 'api' } as const;
  const connection = await connect({
    ...{ servers: natsUrl, name: 'lariat up', inboxPrefix: inboxOf(role) },
    authenticator: nkeyAuthenticator(readSeed(credentials, role)),
  });
  let missing = names;
  try {
    while (performance.now() < deadlineMs) {
      const ready = await readyNodes(connection);
      missing = names.filter((name) => !ready.has(name));
      if (missing.length === 0) return;
      await delay(POLL_MS);
    }
  } finally {
    await connection.close();
  }
  throw new LariatError({
    kind: 'unavailable',
    code: 'NODE_NOT_READY',
    message: `After ${timeoutMs / 1000} s these nodes are not ready: ${missing.join(', ')}. Their logs are in the data folder, in logs/.`,
  });
}

async function readyNodes(
  connection: Awaited<ReturnType<typeof connect>>,
): Promise<ReadonlySet<string>> {
  try {
    const reply = await connection.request(requestSubject('node.list'), '{}', { timeout: 2_000 });
    const nodes = reply.json<NodeListReply>().data?.nodes ?? [];
    return new Set(nodes.filter(({ state }) => state === 'ready').map(({ name }) => name));
  } catch {
    // No service answers yet.
    return new Set();
  }
}
