import { LariatError } from '@lariat/kernel';
import { probePort } from './adapters/process/tcp-port.js';
import type { AgentConfig } from './config.js';
import type { JournalPort } from './ports/journal.port.js';

/** A data folder belongs to one node: its replicas are on record under that name. */
export async function bindNode(journal: JournalPort, node: string): Promise<void> {
  const known = journal.setting('node');
  if (known === undefined) await journal.putSetting('node', node);
  else if (known !== node) {
    throw new LariatError({
      kind: 'precondition',
      code: 'DATA_FOLDER_TAKEN',
      message: `the data folder belongs to node ${JSON.stringify(known)}, not '${node}'; give --data another folder, or --node that name`,
    });
  }
}

/** The port that volumes of this node are known by; kept over restarts. */
export async function choosePort(
  journal: JournalPort,
  config: Pick<AgentConfig, 'traddr' | 'trsvcid'>,
): Promise<number> {
  const known = journal.setting('trsvcid');
  let port = config.trsvcid;
  if (port === 0) {
    port = typeof known === 'number' ? known : await freePort(config.traddr);
  }
  if (known !== port) await journal.putSetting('trsvcid', port);
  return port;
}

/** Below the range from which Linux takes the ports of outgoing connections (32768 to 60999). */
const PORT_RANGE = { first: 20_000, count: 12_000 } as const;
const PORT_TRIES = 50;

async function freePort(traddr: string): Promise<number> {
  for (let attempt = 0; attempt < PORT_TRIES; attempt += 1) {
    const port = PORT_RANGE.first + Math.floor(Math.random() * PORT_RANGE.count);
    if ((await probePort(traddr, port)) !== undefined) return port;
  }
  throw new LariatError({
    kind: 'unavailable',
    code: 'TARGET_UNAVAILABLE',
    message: `no free port was found on ${traddr}; give one with --trsvcid`,
  });
}
