import type { JsonObject } from '../rpc/method.js';
import { BdevClaim, type Bdev, type BdevRegistry } from './bdev.js';
import { MeteredBdev } from './metered-bdev.js';
import type { RateLimitValues } from './rate-limits.js';

/** g_io_type_strings of lib/bdev/bdev.c that no bdev here supports, or each does. */
const NEVER_SUPPORTED = [
  'nvme_admin',
  'nvme_io',
  'nvme_io_md',
  'zcopy',
  'get_zone_info',
  'zone_management',
  'zone_append',
  'compare',
  'compare_and_write',
  'abort',
  'seek_hole',
  'seek_data',
  'copy',
  'nvme_iov_md',
] as const;

const UNLIMITED: RateLimitValues = {
  rw_ios_per_sec: 0,
  rw_mbytes_per_sec: 0,
  r_mbytes_per_sec: 0,
  w_mbytes_per_sec: 0,
};

const CLAIM_TYPES: Readonly<Record<BdevClaim, string>> = {
  [BdevClaim.exclusiveWrite]: 'exclusive_write',
  [BdevClaim.shared]: 'read_many_write_none',
};

/** One entry of bdev_get_bdevs (rpc_dump_bdev_info in lib/bdev/bdev_rpc.c). */
export function bdevToJson(registry: BdevRegistry, bdev: Bdev): JsonObject {
  const claim = registry.claimOf(bdev);
  const metered = bdev instanceof MeteredBdev ? bdev : undefined;
  const writable = metered === undefined || !metered.isReadOnly;
  return {
    name: bdev.name,
    aliases: [...new Set([bdev.uuid, ...bdev.aliases])].filter((alias) => alias !== bdev.name),
    product_name: bdev.productName,
    block_size: bdev.blockSizeBytes,
    num_blocks: bdev.sizeBytes / bdev.blockSizeBytes,
    uuid: bdev.uuid,
    assigned_rate_limits: metered?.limits.values ?? UNLIMITED,
    claimed: claim !== undefined,
    ...(claim === undefined ? {} : { claim_type: CLAIM_TYPES[claim.claim] }),
    zoned: false,
    supported_io_types: {
      read: true,
      write: writable,
      unmap: writable,
      flush: true,
      reset: true,
      write_zeroes: writable,
      ...Object.fromEntries(NEVER_SUPPORTED.map((name) => [name, false])),
    },
    driver_specific: bdev.describe(),
  };
}
