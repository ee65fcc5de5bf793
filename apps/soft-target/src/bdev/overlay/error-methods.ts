import { BlockIoFailure } from '@lariat/nvme-tcp';
import { decodeObject, oneOf, opt, str, uint, uint32, uint8, uuid } from '../../rpc/decode.js';
import { method, type MethodTable } from '../../rpc/method.js';
import { RpcError } from '../../rpc/rpc-error.js';
import { requireBdev } from '../registry.js';
import { ErrorBdev, INJECTABLE_IO, type InjectedError } from './error-bdev.js';
import { nameUuid, uuidBytes } from './name-uuid.js';
import { OverlayModule, type OverlayModuleDeps } from './overlay-module.js';

/** BDEV_PART_NAMESPACE_UUID (lib/bdev/part.c). */
const NAMESPACE = '976b899e-3e1e-4d71-ab69-c2b08e9df8b8';

/** NVMe status type and code to what the target answers with that status. */
const FAILURE_OF_STATUS: ReadonlyMap<string, BlockIoFailure> = new Map([
  ['0/7', BlockIoFailure.aborted],
  ['0/32', BlockIoFailure.readOnly],
  ['0/128', BlockIoFailure.outOfRange],
  ['0/129', BlockIoFailure.noSpace],
  ['0/130', BlockIoFailure.gone],
  ['2/128', BlockIoFailure.media],
  ['2/129', BlockIoFailure.media],
]);

/** The methods of module/bdev/error/vbdev_error_rpc.c. */
export function errorMethods(deps: Pick<OverlayModuleDeps, 'registry' | 'log'>): MethodTable {
  const { registry } = deps;
  const errors = new OverlayModule<ErrorBdev>({ ...deps, module: 'error', survivesBase: false });
  const require = (name: string): ErrorBdev => {
    requireBdev(registry, name);
    const bdev = errors.find(name);
    if (bdev === undefined) throw RpcError.errno('ENODEV');
    return bdev;
  };
  return {
    bdev_error_create: method(
      decodeObject({ base_name: str, uuid: opt(uuid) }),
      ({ base_name: baseName, uuid: id }) => {
        errors.create({
          key: baseName,
          baseName,
          make: (base) => new ErrorBdev(`EE_${baseName}`, id ?? partUuid(base), base),
        });
        return true;
      },
    ),
    bdev_error_delete: method(decodeObject({ name: str }), async ({ name }) => {
      await errors.delete(name);
      return true;
    }),
    bdev_error_inject_error: method(
      decodeObject({
        name: str,
        io_type: oneOf('clear', 'all', ...INJECTABLE_IO),
        error_type: oneOf('failure', 'pending', 'corrupt_data', 'nomem', 'nvme_failure'),
        nvme_sct: opt(uint32),
        nvme_sc: opt(uint32),
        num: opt(uint32),
        queue_depth: opt(uint),
        corrupt_offset: opt(uint),
        corrupt_value: opt(uint8),
      }),
      ({ name, io_type: ioType, num = 1, queue_depth: queueDepth = 0, ...wanted }) => {
        const error = injectedError(wanted);
        const bdev = require(name);
        if (ioType === 'clear') bdev.clear();
        else {
          const kinds = ioType === 'all' ? INJECTABLE_IO : [ioType];
          for (const kind of kinds) bdev.inject(kind, error, num, queueDepth);
        }
        return true;
      },
    ),
    bdev_error_resume_pending: method(decodeObject({ name: str }), ({ name }) => {
      require(name).resumePending();
      return true;
    }),
  };
}

interface WantedError {
  readonly error_type: 'failure' | 'pending' | 'corrupt_data' | 'nomem' | 'nvme_failure';
  readonly nvme_sct: number | undefined;
  readonly nvme_sc: number | undefined;
  readonly corrupt_offset: number | undefined;
  readonly corrupt_value: number | undefined;
}

function injectedError(wanted: WantedError): InjectedError {
  const { error_type: type, nvme_sct: statusType = 0, nvme_sc: statusCode = 0 } = wanted;
  if ((type === 'nvme_failure') !== (statusType !== 0 || statusCode !== 0)) {
    throw RpcError.errno(
      'EINVAL',
      'nvme_sct or nvme_sc should be specified for NVMe error injection',
    );
  }
  switch (type) {
    case 'failure':
      return { type, failure: BlockIoFailure.media };
    case 'nvme_failure': {
      const failure = FAILURE_OF_STATUS.get(`${statusType}/${statusCode}`);
      if (failure !== undefined) return { type: 'failure', failure };
      throw RpcError.errno('ENOTSUP');
    }
    case 'corrupt_data':
      // Exclusive or with 0 would change nothing.
      if ((wanted.corrupt_value ?? 0) === 0) throw RpcError.errno('EINVAL');
      return { type, offsetBytes: wanted.corrupt_offset ?? 0, xor: wanted.corrupt_value ?? 0 };
    case 'pending':
    case 'nomem':
      return { type };
  }
}

/** As spdk_bdev_part_construct_ext names a part that is the whole of its base. */
function partUuid(base: { uuid: string; sizeBytes: number; blockSizeBytes: number }): string {
  const range = Buffer.alloc(16);
  range.writeBigUInt64LE(BigInt(base.sizeBytes / base.blockSizeBytes), 8);
  return nameUuid(NAMESPACE, Buffer.concat([uuidBytes(base.uuid), range]));
}
