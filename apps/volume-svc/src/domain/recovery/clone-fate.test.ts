import { expect, it } from 'vitest';
import { type LostClone, cloneFate } from './clone-fate.js';

const none: LostClone = {
  ...{ record: undefined, wasDeleted: false, silent: [], acceptDataLoss: false },
};

it.each<[string, Partial<LostClone>, ReturnType<typeof cloneFate>]>([
  ['was found: only a whole one has copies', { record: { state: 'detached' } }, 'ready'],
  ['was found, whoever is silent', { record: { state: 'attached' }, silent: ['n9'] }, 'ready'],
  ['was found half deleted, and shares clusters yet', { record: { state: 'deleting' } }, 'ready'],
  ['is on record as being made', { record: { state: 'creating' } }, 'unknown'],
  ['is nowhere', {}, 'dropped'],
  ['may be on a node that is silent', { silent: ['n9'] }, 'unknown'],
  ['was deleted, whoever is silent', { silent: ['n9'], wasDeleted: true }, 'dropped'],
  ['is given up by the operator', { silent: ['n9'], acceptDataLoss: true }, 'dropped'],
])('a clone that %s', (_, given, fate) => {
  expect(cloneFate({ ...none, ...given })).toBe(fate);
});
