import {
  mkdtempSync,
  openSync,
  readSync,
  closeSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MIB } from '@lariat/kernel';
import { type ProgramOutcome, findProgram, runProgram } from '@lariat/programs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  DATA_OFFSET_BYTES,
  WRONG_PASSPHRASE,
  luksFormat,
  luksTest,
} from './encryption-commands.js';
import type { Program } from './program.js';
import { nextStageStep } from './stage-decision.js';
import { PROBED_BYTES, type Probe, probeOf } from './superblock.js';

const UUID = '11111111-1111-4111-8111-111111111111';
const PASSPHRASE = 'a secret\nof two lines';
const intended = { state: 'format-intended', fsType: 'crypto_LUKS', uuid: UUID } as const;
const path = findProgram('cryptsetup');

describe.skipIf(path === undefined)(`cryptsetup, on a file (${path ?? 'not installed'})`, () => {
  let folder = '';
  const file = (): string => join(folder, 'device');
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'lariat-luks-'));
    writeFileSync(file(), '');
    truncateSync(file(), 32 * MIB);
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  async function run({ args, input = '' }: Program, deadlineMs = 120_000): Promise<ProgramOutcome> {
    return (await runProgram({ path: path ?? '', args, input, deadlineMs })).outcome;
  }
  function probe(fromBytes = 0): Probe {
    const bytes = Buffer.alloc(PROBED_BYTES);
    const fd = openSync(file(), 'r');
    readSync(fd, bytes, 0, bytes.length, fromBytes);
    closeSync(fd);
    return probeOf(bytes);
  }
  const ended = (code: number): ProgramOutcome => ({ kind: 'ended', code });

  it('makes a header that reads as intended, and leaves zeros where the data begin', async () => {
    expect(nextStageStep(intended, probe())).toBe('format');
    expect(await run(luksFormat(UUID, file(), PASSPHRASE))).toEqual(ended(0));
    expect(probe()).toEqual({ kind: 'present', fsType: 'crypto_LUKS', uuid: UUID });
    expect(nextStageStep(intended, probe())).toBe('confirm');
    expect(probe(DATA_OFFSET_BYTES)).toEqual({ kind: 'absent' });
    expect(await run(luksTest(file(), PASSPHRASE))).toEqual(ended(0));
    expect(await run(luksTest(file(), 'another'))).toEqual(ended(WRONG_PASSPHRASE));
  }, 120_000);

  it('leaves what is made again, and what does not open, wherever it is killed', async () => {
    const steps = new Set<string>();
    for (let deadlineMs = 10; ; deadlineMs = Math.ceil(deadlineMs * 1.4)) {
      truncateSync(file(), 0);
      truncateSync(file(), 32 * MIB);
      const outcome = await run(luksFormat(UUID, file(), PASSPHRASE), deadlineMs);
      const step = nextStageStep(intended, probe());
      steps.add(step);
      expect(['format', 'confirm']).toContain(step);
      if (outcome.kind === 'ended') break;
      // One that was killed after its last write has made it all.
      const test = await run(luksTest(file(), PASSPHRASE));
      const opens = test.kind === 'ended' && test.code === 0;
      expect([step, opens]).not.toEqual(['format', true]);
      expect(probe(DATA_OFFSET_BYTES)).toEqual({ kind: 'absent' });
    }
    expect(steps).toContain('confirm');
    expect(await run(luksTest(file(), PASSPHRASE))).toEqual(ended(0));
  }, 120_000);
});
