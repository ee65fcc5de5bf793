import { join } from 'node:path';
import { CHECKOUT } from '@lariat/cli';
import { MIB } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GuestCommands } from './guest/guest-commands.js';
import { openSharedGuest, whyNoGuest } from './shared-guest.js';

const STAGES = join(CHECKOUT, 'test', 'dist', 'vm', 'encrypted-stages.js');
const FOLDER = '/tmp/encrypted';
const TIMEOUT_MS = 500_000;
const missing = whyNoGuest();

describe.skipIf(missing !== undefined)(
  `an encrypted volume on a real kernel (${missing ?? 'everything is here'})`,
  () => {
    let guest: GuestCommands;
    beforeAll(async () => {
      guest = await openSharedGuest();
    });
    afterAll(() => guest?.close());

    it('is encrypted and formatted once, grows, and outlives its device', async () => {
      for (const module of ['dm-mod', 'dm-crypt', 'loop']) await guest.run(['modprobe', module]);
      await guest.run(['mkdir', '-p', FOLDER]);
      await guest.run(['truncate', '-s', String(96 * MIB), `${FOLDER}/disk`]);
      const device = await guest.run(['losetup', '--find', '--show', `${FOLDER}/disk`]);
      const said = await guest.run([process.execPath, STAGES, FOLDER, device.trim()], {
        timeoutMs: TIMEOUT_MS,
      });
      const seen = JSON.parse(said) as Readonly<Record<string, unknown>> & {
        readonly small: number;
        readonly grown: number;
      };
      expect(seen).toMatchObject({
        first: ['lariat-vol-0123456789ab-3.1'],
        wrong: expect.stringContaining('encryptionPassphrase'),
        afterUnstage: [],
        readAgain: 'what a pod has written',
        afterLoss: {
          mappings: ['lariat-vol-0123456789ab-4.1'],
          text: 'what a pod has written',
        },
        afterAll: [],
        content: {
          ...{ state: 'initialised', fsType: 'crypto_LUKS' },
          inside: { state: 'initialised', fsType: 'ext4' },
        },
        ...{ headersMade: 1, fileSystemsMade: 1 },
        ...{ isPassphraseTold: false, isTextOnDisk: false },
      });
      expect(seen.grown - seen.small).toBeGreaterThan(16 * MIB);
    });
  },
);
