import {
  chmodSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromSeed } from '@nats-io/nkeys';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { credentialsFile, makeCredentials, readSeed } from './credentials.js';
import { CLUSTER_ROLES } from './roles.js';
import { authorizationConfig } from './server-config.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'lariat-credentials-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const mode = (path: string): number => statSync(path).mode & 0o777;

describe('files of credentials', () => {
  it('are made once, for their owner alone', () => {
    const folder = join(root, 'made');
    const first = makeCredentials(folder, CLUSTER_ROLES);
    expect(mode(folder)).toBe(0o700);
    for (const name of readdirSync(folder)) expect(mode(join(folder, name))).toBe(0o600);
    const agent = { kind: 'agent', node: 'n1' } as const;
    const second = makeCredentials(folder, [...CLUSTER_ROLES, agent]);
    expect(second.slice(0, -1)).toEqual(first);
    expect(readdirSync(folder)).toContain('agent-n1.nk');
    expect(new Set(second.map(({ publicKey }) => publicKey)).size).toBe(second.length);
  });

  it('are read by their name, or as the one of a folder', () => {
    const [user] = makeCredentials(root, [{ kind: 'csi' }]);
    const role = { kind: 'csi' } as const;
    for (const path of [root, credentialsFile(root, role)])
      expect(fromSeed(readSeed(path, role)).getPublicKey()).toBe(user?.publicKey);
    writeFileSync(
      join(root, 'by-hand'),
      `# for the CSI plugin\n${readFileSync(credentialsFile(root, role), 'utf8')}\n\n`,
    );
    expect(fromSeed(readSeed(join(root, 'by-hand'), role)).getPublicKey()).toBe(user?.publicKey);
  });

  it('that are none are refused by name, without a word of what they hold', () => {
    const path = join(root, 'broken');
    writeFileSync(path, 'SUSECRET');
    chmodSync(path, 0o600);
    for (const wrong of [path, join(root, 'missing'), root]) {
      const read = () => readSeed(wrong, { kind: 'api' });
      expect(read).toThrow(expect.objectContaining({ code: 'NATS_CREDENTIALS_INVALID' }) as Error);
      expect(read).toThrow(wrong);
      expect(read).not.toThrow('SUSECRET');
    }
  });

  it('are not in the configuration of the server', () => {
    const users = makeCredentials(root, CLUSTER_ROLES);
    const text = authorizationConfig(users);
    for (const { publicKey } of users) expect(text).toContain(publicKey);
    for (const name of readdirSync(root))
      expect(text).not.toContain(readFileSync(join(root, name), 'utf8').trim());
  });
});
