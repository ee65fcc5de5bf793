// What containers are asked for their health with (deploy/image/healthy.mjs): what it says of a process, and that it waits
// for nothing when it knows.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';

const HEALTHY = join(import.meta.dirname, '..', 'deploy', 'image', 'healthy.mjs');
/** No address of a process that serves. */
const NOBODY = 9;

const servers = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function serving(answer) {
  const asked = [];
  const server = createServer((request, response) => {
    asked.push({ path: request.url, connection: request.headers.connection });
    answer(response);
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: server.address().port, asked };
}

const exitCodeOf = (port) =>
  new Promise((resolve) => {
    const env = {
      ...process.env,
      ...{ OTEL_EXPORTER_PROMETHEUS_HOST: '127.0.0.1', OTEL_EXPORTER_PROMETHEUS_PORT: `${port}` },
    };
    execFile(process.execPath, [HEALTHY], { env }, (error) => resolve(error?.code ?? 0));
  });

describe('the health check of the images', () => {
  it('finds a process healthy that serves its metrics, and keeps no connection to it', async () => {
    const { port, asked } = await serving((response) => response.end('lariat_up 1\n'));
    expect(await exitCodeOf(port)).toBe(0);
    expect(asked).toEqual([{ path: '/metrics', connection: 'close' }]);
  });

  it('does not wait for the end of what is served', async () => {
    const { port } = await serving((response) => response.write('lariat_up 1\n'));
    expect(await exitCodeOf(port)).toBe(0);
  });

  it.each([
    ['answers with an error', (response) => response.writeHead(500).end()],
    ['closes the connection', (response) => response.destroy()],
    ['says nothing', () => undefined],
  ])('finds a process unhealthy that %s', async (_what, answer) => {
    const { port } = await serving(answer);
    expect(await exitCodeOf(port)).toBe(1);
  });

  it('finds one unhealthy that does not serve', async () => {
    expect(await exitCodeOf(NOBODY)).toBe(1);
  });
});
