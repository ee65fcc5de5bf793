// Each alert rule fires when it should, and is silent when it should not: promtool runs it on series as the programs tell
// them. Names of metrics and labels are tools/observability.test.mjs's.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { METRICS, prometheusLabel, prometheusName } from '@lariat/telemetry';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parse, stringify } from 'yaml';

const ROOT = join(import.meta.dirname, '..');
const PROMETHEUS = join(ROOT, 'deploy', 'compose', 'prometheus');
const RULES = join(PROMETHEUS, 'alerts.yaml');
const TESTS = join(PROMETHEUS, 'tests');

/** Of Debian's package only this program is wanted: .ci/run puts it here (no service, no web page). */
const OWN = join(ROOT, '.lariat', 'bin', 'promtool');
const promtool = existsSync(OWN) ? OWN : 'promtool';
const run = (...args) => spawnSync(promtool, args, { encoding: 'utf8' });
const isThere = run('--version').status === 0;

const read = (path) => parse(readFileSync(path, 'utf8'));
const alerts = read(RULES).groups.flatMap(({ rules }) => rules);
const tests = readdirSync(TESTS).map((file) => [file.replace(/\.yaml$/, ''), join(TESTS, file)]);

const told = new Map(
  Object.values(METRICS).map((metric) => [
    metric.kind === 'histogram' ? `${prometheusName(metric)}_count` : prometheusName(metric),
    [...metric.attributes.map(prometheusLabel), 'service_name', 'service_instance_id'],
  ]),
);

const fileIn = (folder, name) => join(folder, `${name}.yaml`);

const neverFiring = alerts.map((rule) => ({ ...rule, expr: 'vector(1) > 2' }));

function inFolder(files) {
  const folder = mkdtempSync(join(tmpdir(), 'lariat-promtool-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  return folder;
}

describe('the tests of alert rules', () => {
  it('are one file a rule', () =>
    expect(tests.map(([name]) => name)).toEqual(alerts.map(({ alert }) => alert).toSorted()));

  it.each(tests)('%s: one in which it fires, and one in which it does not', (name, path) => {
    const cases = read(path).tests;
    const asked = cases.flatMap((one) => one.alert_rule_test);
    expect(new Set(asked.map(({ alertname }) => alertname))).toEqual(new Set([name]));
    const fires = cases.map((one) =>
      one.alert_rule_test.some(({ exp_alerts: expected }) => expected.length > 0),
    );
    expect(new Set(fires)).toEqual(new Set([true, false]));
  });

  it.each(tests)('%s: on series that the programs tell', (_name, path) => {
    const series = read(path).tests.flatMap((one) => one.input_series.map((input) => input.series));
    expect(series.length).toBeGreaterThan(0);
    for (const one of series) {
      const [, name, labels = ''] = /^(\w+)(?:\{(.*)\})?$/.exec(one) ?? [];
      const used = [...labels.matchAll(/(\w+)="/g)].map(([, label]) => label);
      expect([name, told.has(name)]).toEqual([name, true]);
      expect([one, used.filter((label) => !told.get(name).includes(label))]).toEqual([one, []]);
    }
  });
});

describe.skipIf(!isThere)('promtool (Debian: prometheus)', () => {
  it('finds no fault in the rules', () => {
    const { status, stdout, stderr } = run('check', 'rules', RULES);
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toContain(`${alerts.length} rules found`);
  });

  it('finds no fault in the configuration', () => {
    const config = read(join(PROMETHEUS, 'prometheus.yaml'));
    expect(config.rule_files).toEqual(['/etc/prometheus/alerts.yaml']);
    // Debian's is older than Prometheus' own receiver of OTLP.
    const { otlp, ...rest } = config;
    expect(Object.keys(otlp)).toEqual(['promote_resource_attributes']);
    const folder = inFolder({ 'prometheus.yaml': stringify({ ...rest, rule_files: [RULES] }) });
    const { status, stderr } = run('check', 'config', join(folder, 'prometheus.yaml'));
    expect([status, stderr]).toEqual([0, '']);
  });

  // All in one run: a program of 48 MB takes longer to start than its tests.
  const outcomesOf = (folder) => {
    const files = tests.map(([name]) => fileIn(folder, name));
    // Which file is tested goes to one of its streams, and that it failed to the other.
    const { stdout } = spawnSync(
      'sh',
      ['-c', 'exec "$0" test rules "$@" 2>&1', promtool, ...files],
      { encoding: 'utf8' },
    );
    return tests.map(([name]) => {
      const after = stdout.split(`Unit Testing:  ${fileIn(folder, name)}\n`)[1] ?? '';
      return [name, /^ {2}(SUCCESS|FAILED)/.exec(after)?.[1], after.split('Unit Testing')[0]];
    });
  };

  it('lets each rule fire when it should, and only then', () =>
    expect(outcomesOf(TESTS).filter(([, outcome]) => outcome !== 'SUCCESS')).toEqual([]));

  it('fails each test for a rule that never fires', () => {
    const files = {
      'alerts.yaml': stringify({ groups: [{ name: 'other', rules: neverFiring }] }),
    };
    for (const [name, path] of tests)
      files[`${name}.yaml`] = stringify({ ...read(path), rule_files: ['alerts.yaml'] });
    const others = outcomesOf(inFolder(files)).filter(([, outcome]) => outcome !== 'FAILED');
    expect(others).toEqual([]);
  });
});
