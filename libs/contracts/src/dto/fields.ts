// class-transformer's and class-validator's decorators need it as soon as a DTO class is defined.
import 'reflect-metadata';
import { CLUSTER_SIZE_BYTES, MAX_VOLUME_SIZE_BYTES, isDnsLabel, isLariatId } from '@lariat/kernel';
import { IsBoolean, IsOptional, ValidateBy, type ValidationOptions } from 'class-validator';
import { ContentEvent, FormatType } from '../content.js';
import type { ErrorCode } from '../error-codes.js';
import { isLariatNqn, isNqn } from '../nqn.js';
import { AntiAffinity } from '../placement.js';

interface FieldRule {
  readonly name: string;
  readonly code: ErrorCode;
  readonly accepts: (value: unknown) => boolean;
  /** What is wrong and what to do; `$value` shows the value, as class-validator has it. */
  readonly message: string;
}

function field(rule: FieldRule, options: ValidationOptions = {}): PropertyDecorator {
  return ValidateBy(
    {
      name: rule.name,
      validator: { validate: rule.accepts, defaultMessage: () => rule.message },
    },
    { ...options, context: { code: rule.code } },
  );
}

/** A flag of a request, which may be left out: that is false. */
export const IsFlag = (): PropertyDecorator => (request, flag) => {
  IsOptional()(request, flag);
  IsBoolean({ message: `${String(flag)} must be true or false.` })(request, flag);
};

const describeName = (what: string): string =>
  `${what} must be a DNS label: 1 to 63 of a-z, 0-9 and '-', starting and ending with a letter or digit.`;

/** The name of something that is being made. */
export const IsNewName = (what: string): PropertyDecorator =>
  field({
    name: 'isNewName',
    code: 'NAME_INVALID',
    // An id as a name would make `{volume: <name or id>}` ambiguous.
    accepts: (value) => typeof value === 'string' && isDnsLabel(value) && !isLariatId(value),
    message: describeName(what),
  });

/** A name or an id of something that should exist. */
export const IsReference = (what: string): PropertyDecorator =>
  field({
    name: 'isReference',
    code: 'NAME_INVALID',
    accepts: (value) => typeof value === 'string' && isDnsLabel(value),
    message: `${describeName(what)} Give its name or its id.`,
  });

/** More at once would keep writers waiting for longer than a gate is closed. */
export const MAX_GROUP_VOLUMES = 32;

/** Volumes that something is done to together. */
export const AreVolumes = (): PropertyDecorator =>
  field({
    name: 'areVolumes',
    code: 'SNAPSHOT_GROUP_INVALID',
    accepts: (value) =>
      Array.isArray(value) &&
      value.length >= 1 &&
      value.length <= MAX_GROUP_VOLUMES &&
      value.every((one) => typeof one === 'string' && isDnsLabel(one)),
    message: `volumes must be a list of 1 to ${MAX_GROUP_VOLUMES} names or ids of volumes.`,
  });

export const IsVolumeSize = (): PropertyDecorator =>
  field({
    name: 'isVolumeSize',
    code: 'SIZE_INVALID',
    accepts: (value) =>
      Number.isSafeInteger(value) && Number(value) > 0 && Number(value) <= MAX_VOLUME_SIZE_BYTES,
    message: `sizeBytes must be a whole number of bytes from 1 to ${MAX_VOLUME_SIZE_BYTES}; it is rounded up to a multiple of ${CLUSTER_SIZE_BYTES}.`,
  });

/** More than this many copies of the same bytes protects against nothing that five do not. */
export const MAX_REPLICAS = 5;

export const IsReplicaCount = (name = 'replicas'): PropertyDecorator =>
  field({
    name: 'isReplicaCount',
    code: 'REPLICAS_INVALID',
    accepts: (value) =>
      Number.isInteger(value) && Number(value) >= 1 && Number(value) <= MAX_REPLICAS,
    message: `${name} must be a whole number from 1 to ${MAX_REPLICAS}.`,
  });

const FRONTENDS: readonly unknown[] = ['nvmf', 'kernel', 'nbd', 'loop'];

export const IsFrontend = (): PropertyDecorator =>
  field({
    name: 'isFrontend',
    code: 'FRONTEND_INVALID',
    accepts: (value) => FRONTENDS.includes(value),
    message: 'frontend must be one of nvmf, kernel, nbd, loop.',
  });

const MAX_HOSTS = 16;

const areHosts = (value: unknown): value is readonly unknown[] =>
  Array.isArray(value) && value.length >= 1 && value.length <= MAX_HOSTS;
const isHost = (nqn: unknown): nqn is string => typeof nqn === 'string' && isNqn(nqn);

/** Each rule leaves to the one before it what that refuses: one fault has one code. */
const HOST_RULES: readonly FieldRule[] = [
  {
    name: 'areHostNqns',
    code: 'HOST_NQNS_INVALID',
    accepts: areHosts,
    message: `hostNqns must be a list of 1 to ${MAX_HOSTS} host NQNs. Leave it out, and the attachment gets one of its own.`,
  },
  {
    name: 'haveForm',
    code: 'HOST_NQN_INVALID',
    accepts: (value) => !areHosts(value) || value.every(isHost),
    message:
      'each of hostNqns must be an NVMe qualified name of at most 223 bytes, as in /etc/nvme/hostnqn of the host: nqn.2014-08.org.nvmexpress:uuid:<uuid>, or nqn.<year>-<month>.<reverse domain>:<name>.',
  },
  {
    name: 'areUnlike',
    code: 'HOST_NQN_REPEATED',
    accepts: (value) => !areHosts(value) || new Set(value).size === value.length,
    message: 'hostNqns names a host twice: name each once.',
  },
  {
    name: 'areUsers',
    code: 'HOST_NQN_RESERVED',
    accepts: (value) => !areHosts(value) || !value.some((nqn) => isHost(nqn) && isLariatNqn(nqn)),
    message:
      "hostNqns has one of Lariat's own names, which are good for one attachment: name hosts by theirs, or leave hostNqns out and use the one that the answer tells.",
  },
];

/** Hosts that may connect over NVMe/TCP. */
export const AreHostNqns = (): PropertyDecorator => (request, hosts) => {
  for (const rule of HOST_RULES) field(rule)(request, hosts);
};

const CONTENT_EVENTS: readonly unknown[] = Object.values(ContentEvent);

export const IsContentEvent = (): PropertyDecorator =>
  field({
    name: 'isContentEvent',
    code: 'REQUEST_INVALID',
    accepts: (value) => CONTENT_EVENTS.includes(value),
    message: `event must be one of ${CONTENT_EVENTS.join(', ')}.`,
  });

const FORMATS: readonly unknown[] = Object.values(FormatType);

export const IsFormat = (): PropertyDecorator =>
  field({
    name: 'isFormat',
    code: 'FILE_SYSTEM_UNSUPPORTED',
    accepts: (value) => FORMATS.includes(value),
    message: `fsType must be one of ${FORMATS.join(', ')}: Lariat makes nothing else.`,
  });

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export const IsFileSystemUuid = (): PropertyDecorator =>
  field({
    name: 'isFileSystemUuid',
    code: 'FILE_SYSTEM_UUID_INVALID',
    accepts: (value) => typeof value === 'string' && UUID.test(value),
    message: 'uuid must be a UUID in lower case, as blkid shows it.',
  });

const MAX_LABELS = 64;
const MAX_LABEL_LENGTH = 256;

export const IsLabels = (): PropertyDecorator =>
  field({
    name: 'isLabels',
    code: 'REQUEST_INVALID',
    accepts: (value) =>
      typeof value === 'object' &&
      value !== null &&
      !Array.isArray(value) &&
      Object.keys(value).length <= MAX_LABELS &&
      Object.entries(value).every(
        ([key, text]) =>
          key.length <= MAX_LABEL_LENGTH &&
          typeof text === 'string' &&
          text.length <= MAX_LABEL_LENGTH,
      ),
    message: `labels must be an object of at most ${MAX_LABELS} texts of at most ${MAX_LABEL_LENGTH} characters.`,
  });

const ANTI_AFFINITIES: readonly unknown[] = Object.values(AntiAffinity);

/** One of hard, soft, off. */
export const IsAntiAffinity = (name: string): PropertyDecorator =>
  field({
    name: 'isAntiAffinity',
    code: 'REQUEST_INVALID',
    accepts: (value) => ANTI_AFFINITIES.includes(value),
    message: `${name} must be one of hard, soft, off.`,
  });

const MAX_TAGS = 32;
const TAG = /^[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$/;

/** Tags of nodes and disks, and those that a volume selects by. */
export const IsTags = (name: string): PropertyDecorator =>
  field({
    name: 'isTags',
    code: 'REQUEST_INVALID',
    accepts: (value) =>
      Array.isArray(value) &&
      value.length <= MAX_TAGS &&
      value.every((tag) => typeof tag === 'string' && TAG.test(tag)),
    message: `${name} must be a list of at most ${MAX_TAGS} tags: 1 to 63 letters, digits and '.', '_', '/', '-', starting and ending with a letter or digit.`,
  });

/** More than any device does; in MiB it is 953 TiB a second, which an SPDK limit still counts in bytes. */
const MAX_RATE_LIMIT = 1_000_000_000;

/** I/Os or MiB a second. */
export const IsRateLimit = (name: string): PropertyDecorator =>
  field({
    name: 'isRateLimit',
    code: 'REQUEST_INVALID',
    accepts: (value) =>
      Number.isInteger(value) && Number(value) >= 1 && Number(value) <= MAX_RATE_LIMIT,
    message: `${name} must be a whole number from 1 to ${MAX_RATE_LIMIT}, or null for no limit.`,
  });
