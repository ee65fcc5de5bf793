import type { RecoveredImage, RecoveredVolume, RecoveryReport } from '@lariat/contracts';
import { expect, it } from 'vitest';
import { recoveryText } from './recovery-view.js';

const volume = (name: string, given: Partial<RecoveredVolume> = {}): RecoveredVolume => ({
  id: `vol-${name}`,
  name,
  outcome: 'recovered',
  state: 'detached',
  robustness: 'degraded',
  sizeBytes: 8 * 1024 ** 2,
  snapshots: 2,
  replicas: [
    { id: 'r1', node: 'n1', mode: 'RW', reason: null },
    { id: 'r2', node: 'n2', mode: 'ERR', reason: 'lost' },
  ],
  notes: [],
  ...given,
});
const report = (given: Partial<RecoveryReport> = {}): RecoveryReport => ({
  dryRun: false,
  changed: true,
  nodes: [{ node: 'n1', answered: true, reason: null, volumes: 2, images: 1 }],
  onRecord: 3,
  volumes: [],
  omittedVolumes: 0,
  imagesOnRecord: 1,
  images: [],
  omittedImages: 0,
  names: 0,
  allocations: 0,
  ...given,
});

it('says that nothing was to be done', () => {
  expect(recoveryText(report({ changed: false }))).toBe(
    '3 volume(s) and 1 image(s) are on record as they should be; nothing was changed.',
  );
  expect(recoveryText(report({ changed: false, dryRun: true }))).toContain('nothing would change');
});

it('lists each volume with its replicas, why it is as it is, and what to do', () => {
  const doubt = volume('db', {
    outcome: 'in-doubt',
    robustness: 'faulted',
    notes: ["node 'n2' does not answer"],
  });
  const text = recoveryText(
    report({
      dryRun: true,
      nodes: [{ node: 'n2', answered: false, reason: 'down: no heartbeat', volumes: 0, images: 0 }],
      volumes: [volume('web'), doubt],
      names: 2,
      allocations: 4,
    }),
  );
  expect(text).toMatch(/^would be: 1 recovered, 1 in doubt, 0 not recovered, 2 name.*4 alloc/);
  expect(text).toContain('node n2 does not answer: down: no heartbeat');
  expect(text).toMatch(/web +recovered +detached +degraded +8 MiB +2 +n1:RW n2:ERR/);
  expect(text).toContain("db:\n  node 'n2' does not answer");
  expect(text).toContain('--accept-data-loss VOLUME');
  expect(text).toContain("'lariat recover' does it");
});

it('lists each image with its copies, and what to do with one in doubt', () => {
  const image = (name: string, given: Partial<RecoveredImage> = {}): RecoveredImage => ({
    ...{ id: `img-${name}`, name, outcome: 'recovered', state: 'ready', sizeBytes: 4 * 1024 ** 2 },
    copies: [{ node: 'n1', disk: 'd', state: 'ready' }],
    notes: [],
    ...given,
  });
  const doubt = image('alpine', { outcome: 'in-doubt', notes: ["node 'n2' does not answer"] });
  const text = recoveryText(report({ images: [image('debian'), doubt] }));
  expect(text).toMatch(/^1 recovered, 1 in doubt, 0 not recovered/);
  expect(text).toMatch(/debian +recovered +ready +4 MiB +n1:ready/);
  expect(text).toContain("alpine:\n  node 'n2' does not answer");
  expect(text).toContain('--accept-data-loss IMAGE');
});
