import 'reflect-metadata';
import type { ImageCopyReport, NodeRecord, NodeRegistration } from '@lariat/contracts';
import { delay } from '@lariat/kernel';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fixture, silentLog, tempDir, type Fixture } from '../testing/fixture.js';
import { Presence } from './presence.js';

let dir: ReturnType<typeof tempDir>;
let node: Fixture;

beforeEach(async () => {
  dir = tempDir();
  node = await fixture(dir.path);
});
afterEach(async () => {
  await node.journal.close();
  dir.remove();
});

test('what is on record of the node is kept, and told with the registrations that follow', async () => {
  const settings = { tags: ['fast'], zone: null, disks: {} };
  const record = { name: 'n1', schedulable: false, settings } as unknown as NodeRecord;
  const heard: NodeRegistration[] = [];
  const copy = { image: 'img-1', disk: 'disk-1' } as ImageCopyReport;
  const presence = new Presence({
    node: 'n1',
    agentInstance: 'i',
    journal: node.journal,
    controlPlane: {
      register: (registration) => {
        heard.push(registration);
        return Promise.resolve(record);
      },
      claimStore: () => Promise.resolve(),
      reportEngine: () => Promise.resolve(),
      heartbeat: () => undefined,
      inventory: () => undefined,
      progress: () => undefined,
    },
    log: silentLog,
    registration: () => ({ name: 'n1' }) as NodeRegistration,
    images: () => [copy],
    targetFault: () => undefined,
    absent: () => undefined,
    unowned: () => undefined,
  });
  presence.start();
  const deadline = performance.now() + 10_000;
  while (heard.length < 2 && performance.now() < deadline) await delay(10);
  presence.stop();
  expect(presence.inventory().images).toEqual([copy]);
  expect(heard[0]?.kept).toBeUndefined();
  expect(heard[1]?.kept).toEqual({ schedulable: false, settings });
});
