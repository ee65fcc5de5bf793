import { describe, expect, it } from 'vitest';
import { AsyncNotice, encodeNotice, readNotice } from './async-event.js';
import { blockErrorOfStatus, statusOfBlockError } from './block-status.js';
import { encodeCapabilities, readCapabilities } from './controller-properties.js';
import { encodeCompletion, makeCommand, readCompletion, readStartingLba, setSgl } from './entry.js';
import { encodeConnectData, makeConnect, readConnect, readConnectData } from './fabrics.js';
import {
  ControllerType,
  encodeIdentifyController,
  readIdentifyController,
} from './identify-controller.js';
import {
  encodeIdentifyNamespace,
  encodeNamespaceDescriptors,
  encodeNamespaceList,
  readIdentifyNamespace,
  readNamespaceDescriptors,
  readNamespaceList,
} from './identify-namespace.js';
import { AnaState, encodeAnaLog, encodeDiscoveryLog, readAnaStates } from './log-page.js';
import { isValidNqn } from './nqn.js';
import { doNotRetry, Status, statusCode } from './status.js';
import { BlockIoError, BlockIoFailure, ReservationConflictError } from '../block-device.js';

describe('entries', () => {
  it('lays out a submission entry', () => {
    const entry = makeCommand(0x02, 1, [0x89ab_cdef, 0x1, 7]);
    setSgl(entry, 0x5a, 4096);
    expect(entry.toString('hex', 0, 8)).toBe('0240000001000000');
    expect(entry.toString('hex', 24, 40)).toBe('0000000000000000001000000000005a');
    expect(readStartingLba(entry)).toBe(0x1_89ab_cdef);
  });

  it('puts the status above the phase bit of a completion', () => {
    const entry = encodeCompletion({
      commandId: 0x11,
      status: doNotRetry(Status.lbaOutOfRange),
      dword0: 0xdead_beef,
      dword1: 2,
      sqHead: 5,
    });
    expect(entry.toString('hex')).toBe('efbeadde020000000500000011000081');
    expect(readCompletion(entry).status).toBe(doNotRetry(Status.lbaOutOfRange));
  });
});

describe('fabrics', () => {
  it('lays out Connect', () => {
    const fields = {
      recordFormat: 0,
      queueId: 3,
      queueSize: 127,
      attributes: 4,
      keepAliveTimeoutMs: 10_000,
    };
    const entry = makeConnect(fields);
    expect(entry[0]).toBe(0x7f);
    expect(entry[4]).toBe(0x01);
    expect(entry.toString('hex', 40, 52)).toBe('000003007f00040010270000');
    expect(readConnect(entry)).toEqual(fields);
    const data = {
      hostId: Buffer.alloc(16, 9),
      controllerId: 0xffff,
      subsystemNqn: 'nqn.a',
      hostNqn: 'nqn.b',
    };
    const bytes = encodeConnectData(data);
    expect(bytes.length).toBe(1024);
    expect(bytes.toString('latin1', 256, 261)).toBe('nqn.a');
    expect(bytes.toString('latin1', 512, 517)).toBe('nqn.b');
    expect(readConnectData(bytes)).toEqual(data);
  });

  it('encodes CAP: MQES, CQR, TO and the NVM command set', () => {
    const { low, high } = encodeCapabilities({ maxQueueEntries: 128, readyTimeoutMs: 15_000 });
    expect(low).toBe(0x1e01_007f);
    expect(high).toBe(0x20);
    expect(readCapabilities(low)).toEqual({ maxQueueEntries: 128, readyTimeoutMs: 15_000 });
  });
});

describe('identify', () => {
  const controller = {
    vendorId: 0,
    serial: 'SERIAL',
    model: 'MODEL',
    firmware: '0.1',
    controllerId: 7,
    version: 0x0001_0400,
    type: ControllerType.io,
    maxTransferBytes: 131_072,
    anaReporting: true,
    asyncEventLimit: 4,
    keepAliveGranularity: 1,
    maxNamespaces: 32,
    maxOutstandingCommands: 128,
    optionalCommands: 0x0d,
    volatileWriteCache: true,
    subsystemNqn: 'nqn.2024-01.io.lariat:v',
    commandCapsuleBytes: 8256,
  };

  it('puts the fields of a controller at their offsets', () => {
    const data = encodeIdentifyController(controller);
    expect(data.length).toBe(4096);
    expect(data.toString('latin1', 4, 24)).toBe('SERIAL'.padEnd(20));
    expect(data.toString('latin1', 24, 64)).toBe('MODEL'.padEnd(40));
    expect(data[76]).toBe(0x0b);
    expect(data[77]).toBe(5);
    expect(data.readUInt16LE(78)).toBe(7);
    expect(data.readUInt32LE(92)).toBe(0x900);
    expect(data[111]).toBe(1);
    expect(data[259]).toBe(3);
    expect(data.readUInt16LE(320)).toBe(1);
    expect(data[343]).toBe(0x5f);
    expect([data[512], data[513]]).toEqual([0x66, 0x44]);
    expect(data.readUInt32LE(516)).toBe(32);
    expect(data.readUInt16LE(520)).toBe(0x0d);
    expect(data[525]).toBe(5);
    // Linux refuses a controller without SGLs, with MNAN above NN, or with IOCCSZ below 4.
    expect(data.readUInt32LE(536) & 3).toBe(1);
    expect(data.readUInt32LE(540)).toBeLessThanOrEqual(data.readUInt32LE(516));
    expect(data.readUInt32LE(1792)).toBe(516);
    expect(data.readUInt32LE(1796)).toBe(1);
    expect(data.readUInt16LE(1800)).toBe(0);
    expect(readIdentifyController(data)).toEqual(controller);
  });

  it('puts the fields of a namespace at their offsets', () => {
    const fields = {
      sizeBlocks: 2 ** 33,
      blockSizeBytes: 4096,
      anaGroupId: 3,
      nguid: Buffer.alloc(16, 0x5c),
      reservationCapabilities: 0xff,
    };
    const data = encodeIdentifyNamespace(fields);
    expect(data.readBigUInt64LE(0)).toBe(2n ** 33n);
    expect(data.readBigUInt64LE(8)).toBe(2n ** 33n);
    expect([data[30], data[31], data[33]]).toEqual([1, 0xff, 0x09]);
    expect(data.readUInt32LE(92)).toBe(3);
    expect(data[130]).toBe(12);
    expect(readIdentifyNamespace(data)).toEqual(fields);
  });

  it('lists identifiers as descriptors', () => {
    const identifiers = { uuid: Buffer.alloc(16, 1), nguid: Buffer.alloc(16, 2) };
    const data = encodeNamespaceDescriptors(identifiers);
    expect(data.toString('hex', 0, 45)).toBe(
      `02100000${'02'.repeat(16)}03100000${'01'.repeat(16)}0401000000`,
    );
    expect(readNamespaceDescriptors(data)).toEqual(identifiers);
    expect(readNamespaceList(encodeNamespaceList([1, 5, 900]))).toEqual([1, 5, 900]);
  });
});

describe('log pages', () => {
  it('encodes ANA groups with and without namespaces', () => {
    const groups = [
      { id: 1, state: AnaState.optimized, nsids: [1, 2] },
      { id: 4, state: AnaState.inaccessible, nsids: [9] },
    ];
    const log = encodeAnaLog(77, groups, false);
    expect(log.length).toBe(16 + 32 * 2 + 3 * 4);
    expect(log.readUInt16LE(8)).toBe(2);
    expect(log.readUInt32LE(16 + 4)).toBe(2);
    expect(log[16 + 16]).toBe(1);
    expect(log.readUInt32LE(16 + 32)).toBe(1);
    const states = new Map([
      [1, 1],
      [4, 3],
    ]);
    expect(readAnaStates(log)).toEqual(states);
    expect(encodeAnaLog(77, groups, true).length).toBe(16 + 64);
    expect(readAnaStates(encodeAnaLog(77, groups, true))).toEqual(states);
    expect(readAnaStates(log.subarray(0, 50))).toEqual(new Map([[1, 1]]));
  });

  it('encodes discovery entries', () => {
    const entry = {
      portId: 2,
      subsystemNqn: 'nqn.x',
      traddr: '::1',
      trsvcid: '4420',
      discovery: false,
    };
    const log = encodeDiscoveryLog(5, [entry], 128);
    expect(log.length).toBe(2048);
    expect(log.readBigUInt64LE(0)).toBe(5n);
    expect(log.readBigUInt64LE(8)).toBe(1n);
    expect([log[1024], log[1025], log[1026]]).toEqual([3, 2, 2]);
    expect(log.toString('latin1', 1024 + 32, 1024 + 36)).toBe('4420');
    expect(log.toString('latin1', 1024 + 256, 1024 + 261)).toBe('nqn.x');
    expect(log.toString('latin1', 1024 + 512, 1024 + 515)).toBe('::1');
  });

  it('encodes notices', () => {
    expect(encodeNotice(AsyncNotice.namespaceAttributeChanged)).toBe(0x04_00_02);
    expect(encodeNotice(AsyncNotice.anaChanged)).toBe(0x0c_03_02);
    expect(encodeNotice(AsyncNotice.discoveryLogChanged)).toBe(0x70_f0_02);
    expect(readNotice(0x0c_03_02)).toBe(AsyncNotice.anaChanged);
    expect(readNotice(0x01)).toBeUndefined();
  });
});

describe('status', () => {
  const failureOf = (status: number): string => blockErrorOfStatus(status, 'x', undefined).failure;

  it.each(Object.values(BlockIoFailure))('carries the failure %s across the wire', (failure) => {
    expect(failureOf(statusOfBlockError(new BlockIoError(failure, 'x'), false))).toBe(failure);
  });

  it('carries a reservation conflict across the wire', () => {
    for (const status of [Status.reservationConflict, Status.abortedByPreempt]) {
      const error = blockErrorOfStatus(status, 'x', undefined);
      expect(error).toBeInstanceOf(ReservationConflictError);
      expect(statusCode(statusOfBlockError(error, true))).toBe(Status.reservationConflict);
    }
  });

  it('takes path errors for a lost device, and unknown ones for bad media', () => {
    expect(failureOf(Status.anaInaccessible)).toBe('gone');
    expect(failureOf(0x2ff)).toBe('media');
    expect(statusOfBlockError(new Error('bug'), true)).toBe(Status.internalError);
  });
});

describe('isValidNqn', () => {
  it('accepts names as the base specification forms them', () => {
    expect(isValidNqn('nqn.2014-08.org.nvmexpress:uuid:8b8aa2f5-6ae6-4d2a-9f4b-0f1de0a1e2c3')).toBe(
      true,
    );
    expect(isValidNqn('nqn.2014-08.org.nvmexpress.discovery')).toBe(true);
    expect(isValidNqn('iqn.2014-08.org:x')).toBe(false);
    expect(isValidNqn(`nqn.2014-08.org:${'x'.repeat(223)}`)).toBe(false);
    expect(isValidNqn('')).toBe(false);
  });
});
