import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Answering = (request: IncomingMessage, response: ServerResponse, nth: number) => void;

export interface ImageServer {
  readonly url: URL;
  /** The requests that came, in order. */
  readonly requests: IncomingMessage[];
  close(): Promise<void>;
}

/** A web server on a free port of loopback that answers as a test tells it; `nth` counts requests from 0. */
export async function imageServer(answer: Answering): Promise<ImageServer> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    answer(request, response, requests.length - 1);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: new URL(`http://127.0.0.1:${port}/debian.img`),
    requests,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

const RANGE = /^bytes=(\d+)-$/;

export interface Served {
  readonly etag?: string;
  readonly lastModified?: string;
  /** False: ranges are not understood. */
  readonly ranges?: boolean;
  /** The connection is cut after this many bytes of the body. */
  readonly cutAfterBytes?: number;
  /** A body without a told length. */
  readonly chunked?: boolean;
}

/** Answers as an orderly server does, but for what `served` says. */
export function serve(
  content: Buffer,
  request: IncomingMessage,
  response: ServerResponse,
  served: Served = {},
): void {
  const { etag, lastModified, ranges = true, cutAfterBytes, chunked = false } = served;
  const validator = request.headers['if-range'];
  const isSame = validator === undefined || validator === etag || validator === lastModified;
  const asked = RANGE.exec(request.headers.range ?? '')?.[1];
  const from = ranges && isSame && asked !== undefined ? Number(asked) : null;
  if (etag !== undefined) response.setHeader('etag', etag);
  if (lastModified !== undefined) response.setHeader('last-modified', lastModified);
  const body = content.subarray(from ?? 0);
  if (!chunked) response.setHeader('content-length', body.length);
  if (from !== null)
    response.setHeader('content-range', `bytes ${from}-${content.length - 1}/${content.length}`);
  response.writeHead(from === null ? 200 : 206);
  if (cutAfterBytes === undefined || cutAfterBytes >= body.length) response.end(body);
  else response.write(body.subarray(0, cutAfterBytes), () => response.destroy());
}
