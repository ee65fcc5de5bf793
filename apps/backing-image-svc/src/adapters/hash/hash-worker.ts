import { createHash, type Hash } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import type { HashAnswer, HashRequest, HashWorkerData } from './hash-messages.js';

// Runs in a thread of its own: update() holds its thread for milliseconds, which the service's has not.
// It imports nothing else of ours: each import has two of these threads, and waits for them to start.
const { algorithm, memory, slotBytes } = workerData as HashWorkerData;
const ZEROS = Buffer.alloc(slotBytes);
const streams = new Map<number, Hash>();

function streamOf(id: number): Hash {
  const known = streams.get(id);
  if (known !== undefined) return known;
  const made = createHash(algorithm);
  streams.set(id, made);
  return made;
}

function updateZeros(hash: Hash, lengthBytes: number): void {
  for (let left = lengthBytes; left > 0; left -= ZEROS.length)
    hash.update(left >= ZEROS.length ? ZEROS : ZEROS.subarray(0, left));
}

function slotOf(index: number): Buffer {
  return Buffer.from(memory, index * slotBytes, slotBytes);
}

const clusterDigest = (slot: Buffer): Buffer => createHash('sha256').update(slot).digest();

function answerTo(request: HashRequest): HashAnswer {
  const { id, stream } = request;
  switch (request.op) {
    case 'digest':
      return { id, cluster: clusterDigest(slotOf(request.slot)) };
    case 'update': {
      const slot = slotOf(request.slot);
      streamOf(stream).update(slot.subarray(0, request.lengthBytes));
      return request.cluster ? { id, cluster: clusterDigest(slot) } : { id };
    }
    case 'zeros':
      updateZeros(streamOf(stream), request.lengthBytes);
      return { id };
    case 'finish': {
      const hash = streamOf(stream);
      streams.delete(stream);
      const hex = hash.copy().digest('hex');
      updateZeros(hash, request.paddingBytes);
      return { id, hex, paddedHex: hash.digest('hex') };
    }
  }
}

parentPort?.on('message', (request: HashRequest) => parentPort?.postMessage(answerTo(request)));
