import fc from 'fast-check';
import { expect, test } from 'vitest';
import { judgeEngine, type EngineSight } from './engine-health.js';
import type { OwnedLeg } from './ownership.js';

const PATIENCE = { brokenMs: 1_000, refusedMs: 400 };

const remote = (replica: string, state: OwnedLeg['state'] = 'member'): OwnedLeg => ({
  replica,
  endpoint: { nqn: replica, traddr: '', trsvcid: '', uuid: `u-${replica}` },
  bdevName: `${replica}n1`,
  uuid: `u-${replica}`,
  state,
  reason: null,
});
const local = (replica: string): OwnedLeg => ({ ...remote(replica), endpoint: null });

const sight = (
  bases: readonly (string | null)[],
  paths: Readonly<Record<string, string>>,
  refused: readonly string[] = [],
  diskLosses: Readonly<Record<string, string>> = {},
): EngineSight => ({
  raid: {
    state: 'online',
    bases: bases.map((base) => ({
      name: base === null ? null : `${base}n1`,
      uuid: base === null ? '0' : `u-${base}`,
    })),
  },
  pathStates: new Map(Object.entries(paths)),
  refused: new Set(refused),
  diskLosses: new Map(Object.entries(diskLosses)),
});

const legs = [local('a'), remote('b'), remote('c')];
const judge = (seen: EngineSight, before: readonly [string, number][] = [], nowMs = 5_000) =>
  judgeEngine(legs, seen, new Map(before), nowMs, PATIENCE);

test('a sound engine has no losses', () => {
  const verdict = judge(sight(['a', 'b', 'c'], { b: 'enabled', c: 'enabled' }));
  expect(verdict).toMatchObject({ down: false, lost: [] });
});

test('a leg that the raid dropped is lost, with the state of its path as evidence', () => {
  const verdict = judge(sight(['a', null, 'c'], { b: 'failed', c: 'enabled' }));
  expect(verdict.lost).toEqual([{ replica: 'b', reason: 'the raid dropped it (path: failed)' }]);
});

test('a broken path counts after the patience, not before', () => {
  const seen = sight(['a', 'b', 'c'], { b: 'reconnect_is_delayed', c: 'enabled' });
  const first = judge(seen);
  expect(first.lost).toEqual([]);
  expect([...first.brokenSinceMs]).toEqual([['b', 5_000]]);
  expect(judge(seen, [['b', 4_000]]).lost.map(({ replica }) => replica)).toEqual(['b']);
});

test('a broken path to a node where nobody listens counts sooner, but not before a target can be back', () => {
  const seen = sight(['a', 'b', 'c'], { b: 'reconnect_is_delayed', c: 'enabled' }, ['b']);
  expect(judge(seen, [['b', 4_700]]).lost).toEqual([]);
  expect(judge(seen, [['b', 4_600]]).lost).toEqual([
    {
      replica: 'b',
      reason: "its path has been 'reconnect_is_delayed', with nobody listening there, for 400 ms",
    },
  ]);
});

test('a path that came back is forgiven', () => {
  const verdict = judge(sight(['a', 'b', 'c'], { b: 'enabled', c: 'enabled' }), [['b', 0]]);
  expect(verdict.brokenSinceMs.size).toBe(0);
});

test('a raid that is not there is down, and loses nobody', () => {
  const verdict = judge({
    raid: undefined,
    pathStates: new Map(),
    refused: new Set(),
    diskLosses: new Map(),
  });
  expect(verdict).toMatchObject({ down: true, lost: [] });
});

test('legs that are joining or leaving are not judged', () => {
  const moving = [local('a'), remote('b', 'joining'), remote('c', 'leaving')];
  const verdict = judgeEngine(moving, sight(['a'], {}), new Map(), 5_000, PATIENCE);
  expect(verdict.lost).toEqual([]);
});

test('whatever is seen, one member is never given up', () => {
  const state = fc.constantFrom('enabled', 'failed', 'resetting');
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          held: fc.boolean(),
          path: fc.option(state),
          local: fc.boolean(),
          refused: fc.boolean(),
          onLostDisk: fc.boolean(),
        }),
        {
          minLength: 1,
          maxLength: 5,
        },
      ),
      fc.nat(3_000),
      (members, nowMs) => {
        const all = members.map((member, index) =>
          member.local ? local(`r${index}`) : remote(`r${index}`),
        );
        const seen = sight(
          members.map((member, index) => (member.held ? `r${index}` : null)),
          Object.fromEntries(
            members.flatMap(({ path }, index) => (path === null ? [] : [[`r${index}`, path]])),
          ),
          members.flatMap(({ refused }, index) => (refused ? [`r${index}`] : [])),
          Object.fromEntries(
            members.flatMap(({ onLostDisk }, index) => (onLostDisk ? [[`r${index}`, 'lost']] : [])),
          ),
        );
        const since = new Map(all.map((leg) => [leg.replica, 0]));
        const { lost } = judgeEngine(all, seen, since, nowMs, PATIENCE);
        expect(lost.length).toBeLessThan(all.length);
      },
    ),
  );
});

test('a leg whose disk is lost is lost at once, as long as another one is sound', () => {
  const gone = { a: 'its disk is lost' };
  const paths = { b: 'enabled', c: 'enabled' };
  expect(judge(sight(['a', 'b', 'c'], paths, [], gone)).lost).toEqual([
    { replica: 'a', reason: 'its disk is lost' },
  ]);
  const alone = sight(['a', 'b', null], { b: 'reconnect_is_delayed' }, [], gone);
  expect(judge(alone).lost.map(({ replica }) => replica)).not.toContain('a');
});
