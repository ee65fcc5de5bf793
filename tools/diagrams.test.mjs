import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { DIAGRAM_FILE, volumeStatesPage } from './diagrams.mjs';

it('the page of the volume states is that of the table', async () => {
  const page = await volumeStatesPage();
  expect(page).toContain('attaching --> attached: attached');
  expect(readFileSync(DIAGRAM_FILE, 'utf8')).toBe(page);
});
