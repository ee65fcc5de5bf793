import { describe, expect, it } from 'vitest';
import { UsageError, readConfig } from './config.js';

const given = ['--endpoint', 'unix:///csi/csi.sock', '--nats', 'nats://n:4222'];

describe('the command line', () => {
  it('wins over the environment, and has defaults', () => {
    const env = { LARIAT_NODE: 'n9', LARIAT_DATA: '/data', CSI_ENDPOINT: '/other.sock' };
    expect(readConfig([...given, '--node', 'n1'], env)).toMatchObject({
      ...{
        socketPath: '/csi/csi.sock',
        mode: 'all',
        node: 'n1',
        dataDir: '/data',
        maxVolumes: undefined,
      },
    });
    expect(readConfig([...given, '--mode', 'controller'], {})).toMatchObject({
      ...{ mode: 'controller', node: undefined },
    });
  });

  it.each([
    [[], '--endpoint'],
    [['--endpoint', 'tcp://h:1', '--nats', 'x'], 'Unix socket'],
    [['--endpoint', '/s'], '--nats'],
    [[...given, '--mode', 'half'], '--mode'],
    [given, '--node'],
    [[...given, '--node', 'Not a label', '--data', '/d'], 'DNS label'],
    [[...given, '--node', 'n1'], '--data'],
    [[...given, '--mode', 'controller', '--max-volumes', '0'], '--max-volumes'],
    [[...given, '--speed', '9'], '--speed'],
  ])('%j is refused for %s', (argv, why) => {
    const read = (): unknown => readConfig(argv, {});
    expect(read).toThrow(UsageError);
    expect(read).toThrow(why);
  });
});
