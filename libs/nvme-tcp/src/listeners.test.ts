import { createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { AnaState } from './nvme/log-page.js';
import { NvmeTcpTarget } from './target/target.js';
import { Cleanup, connectHost, HOST_NQN, startTarget, SUBSYSTEM_NQN } from './test-support.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

describe('listeners', () => {
  it('are shared by subsystems, and closed with the last', async () => {
    const { target, subsystem, address } = await startTarget(cleanup);
    const other = target.addSubsystem({ nqn: 'nqn.2024-01.io.lariat:other', allowAnyHost: true });
    expect(await other.addListener(address)).toEqual(address);
    const host = await connectHost(cleanup, address, { subnqn: other.nqn });
    await subsystem.removeListener(address);
    await expect(connectHost(cleanup, address)).rejects.toEqual(
      expect.objectContaining({ code: 'NVME_HOST_NOT_ALLOWED' }),
    );
    expect(host.state).toBe('connected');
    await target.removeSubsystem(other.nqn);
    await expect(connectHost(cleanup, address)).rejects.toEqual(
      expect.objectContaining({ code: 'NVME_CONNECT_REFUSED' }),
    );
    expect((await subsystem.addListener(address)).trsvcid).toBe(address.trsvcid);
  });

  it('say clearly why they cannot be', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanup.add(() => new Promise((resolve) => server.close(() => resolve())));
    const bound = server.address();
    const trsvcid = typeof bound === 'object' && bound !== null ? String(bound.port) : '';
    const { subsystem, address } = await startTarget(cleanup);
    const failure = (code: string): unknown =>
      expect.objectContaining({ name: 'LariatError', code });
    await expect(subsystem.addListener({ traddr: '127.0.0.1', trsvcid })).rejects.toEqual(
      failure('NVMF_ADDRESS_IN_USE'),
    );
    await expect(subsystem.addListener(address)).rejects.toEqual(failure('NVMF_LISTENER_EXISTS'));
    await expect(subsystem.addListener({ traddr: '203.0.113.9', trsvcid: '0' })).rejects.toEqual(
      failure('NVMF_ADDRESS_NOT_AVAILABLE'),
    );
    await expect(subsystem.addListener({ traddr: '127.0.0.1', trsvcid: '70000' })).rejects.toEqual(
      failure('NVMF_ADDRESS_INVALID'),
    );
    await expect(subsystem.removeListener({ ...address, trsvcid: '1' })).rejects.toEqual(
      failure('NVMF_LISTENER_UNKNOWN'),
    );
  });

  it('refuses bad subsystems, namespaces and hosts', async () => {
    const { target, subsystem, device, address } = await startTarget(cleanup);
    const failure = (code: string): unknown =>
      expect.objectContaining({ name: 'LariatError', code });
    expect(() => target.addSubsystem({ nqn: SUBSYSTEM_NQN })).toThrow(
      failure('NVMF_SUBSYSTEM_EXISTS'),
    );
    expect(() => target.addSubsystem({ nqn: 'x' })).toThrow(failure('NVMF_NQN_INVALID'));
    expect(() => target.addSubsystem({ nqn: 'nqn.2024-01.a:b', serial: 'x'.repeat(21) })).toThrow(
      failure('NVMF_SERIAL_INVALID'),
    );
    expect(() =>
      target.addSubsystem({ nqn: 'nqn.2024-01.a:b', minCntlid: 9, maxCntlid: 8 }),
    ).toThrow(failure('NVMF_CNTLID_INVALID'));
    expect(() => subsystem.addNamespace({ device, nsid: 1 })).toThrow(failure('NVMF_NSID_IN_USE'));
    expect(() => subsystem.addNamespace({ device, nsid: 257 })).toThrow(
      failure('NVMF_NSID_INVALID'),
    );
    expect(() => subsystem.addNamespace({ device, uuid: 'zz' })).toThrow(
      failure('NVMF_GUID_INVALID'),
    );
    await expect(subsystem.removeNamespace(7)).rejects.toEqual(failure('NVMF_NAMESPACE_UNKNOWN'));
    subsystem.addHost(HOST_NQN);
    expect(() => subsystem.addHost(HOST_NQN)).toThrow(failure('NVMF_HOST_EXISTS'));
    expect(() => subsystem.setAnaState(address, AnaState.inaccessible)).toThrow(
      failure('NVMF_ANA_DISABLED'),
    );
    await expect(target.removeSubsystem('nqn.2024-01.a:c')).rejects.toEqual(
      failure('NVMF_SUBSYSTEM_UNKNOWN'),
    );
    expect(() => new NvmeTcpTarget({ maxIoSizeBytes: 5000 })).toThrow(
      failure('NVMF_OPTION_INVALID'),
    );
  });
});
