import { decodeRelaxed, opt, str, uint32, uint16, type Decoded } from '../rpc/decode.js';
import type { JsonObject } from '../rpc/method.js';

/** The options of nvmf_create_transport that mean something here. */
const transportSpec = {
  trtype: str,
  max_queue_depth: opt(uint16),
  max_io_qpairs_per_ctrlr: opt(uint16),
  in_capsule_data_size: opt(uint32),
  max_io_size: opt(uint32),
};

/** Each transport of SPDK's has options of its own: those of others are passed over. */
export const decodeTransportParams = decodeRelaxed(transportSpec);

export interface TcpTransportOptions {
  readonly maxQueueDepth: number;
  readonly maxIoQueues: number;
  readonly inCapsuleDataBytes: number;
  readonly maxIoSizeBytes: number;
}

/** SPDK's defaults (lib/nvmf/tcp.c), but 8 KiB in capsules: that spares small writes a round trip. */
export const DEFAULT_TRANSPORT_OPTIONS: TcpTransportOptions = Object.freeze({
  maxQueueDepth: 128,
  maxIoQueues: 127,
  inCapsuleDataBytes: 8192,
  maxIoSizeBytes: 131_072,
});

export function transportOptions(params: Decoded<typeof transportSpec>): TcpTransportOptions {
  return {
    maxQueueDepth: params.max_queue_depth ?? DEFAULT_TRANSPORT_OPTIONS.maxQueueDepth,
    maxIoQueues: params.max_io_qpairs_per_ctrlr ?? DEFAULT_TRANSPORT_OPTIONS.maxIoQueues,
    inCapsuleDataBytes: params.in_capsule_data_size ?? DEFAULT_TRANSPORT_OPTIONS.inCapsuleDataBytes,
    maxIoSizeBytes: params.max_io_size ?? DEFAULT_TRANSPORT_OPTIONS.maxIoSizeBytes,
  };
}

/** One element of nvmf_get_transports (nvmf_transport_dump_opts in lib/nvmf/transport.c). */
export function describeTransport(options: TcpTransportOptions): JsonObject {
  return {
    trtype: 'TCP',
    max_queue_depth: options.maxQueueDepth,
    max_io_qpairs_per_ctrlr: options.maxIoQueues,
    in_capsule_data_size: options.inCapsuleDataBytes,
    max_io_size: options.maxIoSizeBytes,
    max_aq_depth: 128,
    dif_insert_or_strip: false,
    zcopy: false,
    c2h_success: true,
    sock_priority: 0,
    abort_timeout_sec: 1,
  };
}
