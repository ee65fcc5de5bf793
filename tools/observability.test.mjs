// What deploy/compose shows and watches is what the programs tell: names of metrics, labels and attributes against the
// table and the sources, without Docker and without Grafana. test/e2e/telemetry.test.ts holds real processes to the same table.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { CLUSTER_ROLES, credentialsFile } from '@lariat/bus';
import { METRICS, prometheusLabel, prometheusName } from '@lariat/telemetry';
import { parse } from 'yaml';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..');
const COMPOSE = join(ROOT, 'deploy', 'compose');
const DASHBOARDS = join(COMPOSE, 'grafana', 'dashboards');

const text = (...path) => readFileSync(join(COMPOSE, ...path), 'utf8');
const yaml = (...path) => parse(text(...path), { merge: true });

/** Set by Prometheus, or by where metrics come from, on every series. */
const LABELS_OF_ALL = ['service_name', 'service_instance_id', 'job', 'instance', 'le'];

/** Each series with its labels; a histogram has three. */
const SERIES = new Map(
  Object.values(METRICS).flatMap((metric) => {
    const name = prometheusName(metric);
    const labels = new Set([...metric.attributes.map(prometheusLabel), ...LABELS_OF_ALL]);
    const names =
      metric.kind === 'histogram' ? ['_bucket', '_sum', '_count'].map((end) => name + end) : [name];
    return names.map((series) => [series, labels]);
  }),
);

/** What a PromQL expression asks for and nobody tells. */
function unknownIn(expression) {
  const unknown = [];
  const series = [...expression.matchAll(/\b(lariat_\w+)(?:\{([^}]*)\})?/g)];
  if (series.length === 0) unknown.push(`no metric in ${expression}`);
  const labels = new Set();
  for (const [, name, selector = ''] of series) {
    const known = SERIES.get(name);
    if (known === undefined) {
      unknown.push(name);
      continue;
    }
    for (const label of known) labels.add(label);
    for (const [, label] of selector.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g))
      if (!known.has(label)) unknown.push(`${name}{${label}}`);
  }
  for (const [, list] of expression.matchAll(/\b(?:by|on|without|ignoring)\s*\(([^)]*)\)/g))
    for (const label of list.split(',').map((word) => word.trim()))
      if (!labels.has(label)) unknown.push(`by (${label}) in ${expression}`);
  return unknown;
}

const sources = ['libs', 'apps'].flatMap((part) =>
  readdirSync(join(ROOT, part)).flatMap((name) => {
    const folder = join(ROOT, part, name, 'src');
    if (!existsSync(folder)) return [];
    return readdirSync(folder, { recursive: true })
      .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
      .map((file) => readFileSync(join(folder, file), 'utf8'));
  }),
);
const isInSources = (word) => sources.some((source) => source.includes(`'${word}'`));

const dashboards = readdirSync(DASHBOARDS).map((file) => [
  file,
  JSON.parse(readFileSync(join(DASHBOARDS, file), 'utf8')),
]);
const panels = dashboards.flatMap(([file, { panels: all }]) =>
  all.map((panel) => [`${file}: ${panel.title}`, panel]),
);
/** What a panel's query asks for and nobody tells, by the language of its data source. */
const FAULTS_OF_QUERY = {
  prometheus: ({ expr }) => unknownIn(expr),
  tempo: ({ query }) => {
    const attributes = [...query.matchAll(/\b(?:span|resource)\.([\w.]+)/g)].map(
      ([, name]) => name,
    );
    if (attributes.length === 0) return [`no attribute in ${query}`];
    return attributes.filter((name) => !isInSources(name));
  },
  loki: ({ expr }) =>
    expr.startsWith('{service_namespace="lariat"}') ? [] : [`not of Lariat alone: ${expr}`],
};

function faultsOfTarget(target) {
  const { uid, type } = target.datasource;
  if (datasources.find((source) => source.uid === uid)?.type !== type)
    return [`no data source ${uid} of ${type}`];
  return FAULTS_OF_QUERY[type](target);
}

const alerts = yaml('prometheus', 'alerts.yaml').groups.flatMap(({ rules }) => rules);
const datasources = yaml('grafana', 'provisioning', 'datasources', 'datasources.yaml').datasources;

describe('the check itself', () => {
  it.each([
    ['lariat_volume_total', 'lariat_volume_total'],
    ['sum(lariat_volumes{colour="red"})', 'lariat_volumes{colour}'],
    ['sum by (request, colour) (lariat_request_duration_seconds_count)', 'by (colour)'],
    ['up', 'no metric'],
    ['rate(lariat_request_duration_seconds[5m])', 'lariat_request_duration_seconds'],
  ])('finds what is wrong with %s', (expression, found) =>
    expect(unknownIn(expression).join()).toContain(found),
  );
});

describe('dashboards', () => {
  it.each(['cluster', 'volumes', 'operations', 'messages', 'volume'])('have one of: %s', (name) =>
    expect(dashboards.map(([file]) => file)).toContain(`${name}.json`),
  );

  it('have ids of their own', () => {
    const uids = dashboards.map(([, { uid }]) => uid);
    expect(new Set(uids).size).toBe(uids.length);
  });

  it.each(panels)('%s asks for what is told', (_name, panel) => {
    expect(panel.targets.length).toBeGreaterThan(0);
    expect(panel.targets.flatMap((target) => faultsOfTarget(target))).toEqual([]);
  });

  it.each(
    dashboards.flatMap(([file, { templating }]) => templating.list.map((one) => [file, one])),
  )('%s offers values of a label that there is', (_file, { query }) => {
    const [, series, label] = /^label_values\((\w+), (\w+)\)$/.exec(query.query) ?? [];
    expect(SERIES.get(series)).toContain(label);
  });
});

describe('alert rules', () => {
  it.each(alerts.map((rule) => [rule.alert, rule]))('%s can fire, and has a page', (name, rule) => {
    expect(unknownIn(rule.expr)).toEqual([]);
    expect(['critical', 'warning']).toContain(rule.labels.severity);
    expect(rule.annotations.runbook_url).toBe(`docs/runbooks/${name}.md`);
    const page = readFileSync(join(ROOT, rule.annotations.runbook_url), 'utf8');
    expect(page).toContain(`# ${name}\n`);
    // The page shows the rule as it is.
    expect(page).toContain(rule.expr);
    const used = [...rule.annotations.summary.matchAll(/\$labels\.(\w+)/g)].map(
      ([, label]) => label,
    );
    expect(used.filter((label) => !rule.expr.includes(label))).toEqual([]);
  });

  it('have names of their own', () => {
    const names = alerts.map(({ alert }) => alert);
    expect(new Set(names).size).toBe(names.length);
    expect(readdirSync(join(ROOT, 'docs', 'runbooks')).toSorted()).toEqual(
      names.map((name) => `${name}.md`).toSorted(),
    );
  });

  it('compare with values that there are', () => {
    const compared = alerts.flatMap(({ expr }) =>
      [...expr.matchAll(/(\w+)=~?"([^"]+)"/g)].flatMap(([, , values]) => values.split('|')),
    );
    expect(compared.length).toBeGreaterThan(5);
    const isKnown = (value) =>
      isInSources(value) || sources.some((source) => new RegExp(`\\b${value}:`).test(source));
    expect(compared.filter((value) => !isKnown(value))).toEqual([]);
  });
});

describe('data sources', () => {
  it('have fixed ids, and lead from traces to logs and metrics, and back', () => {
    const [prometheus, tempo, loki] = ['prometheus', 'tempo', 'loki'].map((uid) =>
      datasources.find((source) => source.uid === uid),
    );
    expect(tempo.jsonData.tracesToLogsV2.datasourceUid).toBe(loki.uid);
    expect(tempo.jsonData.tracesToMetrics.datasourceUid).toBe(prometheus.uid);
    expect(loki.jsonData.derivedFields.map(({ datasourceUid }) => datasourceUid)).toEqual([
      tempo.uid,
    ]);
    expect(prometheus.jsonData.exemplarTraceIdDestinations[0].datasourceUid).toBe(tempo.uid);
    for (const { query } of tempo.jsonData.tracesToMetrics.queries)
      expect(unknownIn(query)).toEqual([]);
  });

  it('are services of the cluster', () => {
    const { services } = yaml('docker-compose.yml');
    for (const { url } of datasources) expect(services).toHaveProperty([new URL(url).hostname]);
  });
});

describe('the collector', () => {
  const collector = yaml('otel-collector.yaml');

  it('has all parts of its pipelines, and sends to services of the cluster', () => {
    const { services } = yaml('docker-compose.yml');
    for (const pipeline of Object.values(collector.service.pipelines))
      for (const part of ['receivers', 'processors', 'exporters'])
        for (const name of pipeline[part]) expect(collector[part]).toHaveProperty([name]);
    for (const { endpoint } of Object.values(collector.exporters))
      expect(services).toHaveProperty([new URL(endpoint).hostname]);
  });

  it('keeps traces by attributes that spans have', () => {
    const { policies } = collector.processors.tail_sampling;
    const keys = policies.flatMap((policy) => policy[policy.type].key ?? []);
    expect(keys).toEqual(['saga.outcome', 'messaging.nats.delivery_count']);
    expect(keys.filter((key) => !isInSources(key))).toEqual([]);
    const { values } = policies.find(({ type }) => type === 'string_attribute').string_attribute;
    expect(values.filter((value) => !isInSources(value))).toEqual([]);
  });
});

/** What `lariat credentials` makes for these nodes. */
const MADE = [
  'bus.conf',
  ...[...CLUSTER_ROLES, ...[1, 2, 3].map((n) => ({ kind: 'agent', node: `node-${n}` }))].map(
    (role) => basename(credentialsFile('.', role)),
  ),
];

/** The CLI ends by itself; the others' images have no program that could ask. */
const WITHOUT_HEALTH_CHECK = ['lariat', 'otel-collector', 'tempo', 'loki'];

describe.each([
  ['one server', ['docker-compose.yml']],
  ['three servers', ['docker-compose.yml', 'docker-compose.nats-cluster.yml']],
  ['credentials for one server', ['docker-compose.yml', 'docker-compose.credentials.yml']],
  [
    'credentials for three servers',
    [
      ...['docker-compose.yml', 'docker-compose.nats-cluster.yml'],
      ...['docker-compose.credentials.yml', 'docker-compose.nats-cluster-credentials.yml'],
    ],
  ],
])('compose with %s of NATS', (_name, files) => {
  const documents = files.map((file) => yaml(file));
  const services = {};
  for (const document of documents)
    for (const [name, service] of Object.entries(document.services))
      services[name] = {
        ...services[name],
        ...service,
        environment: { ...services[name]?.environment, ...service.environment },
        volumes: [...(services[name]?.volumes ?? []), ...(service.volumes ?? [])],
      };
  const entries = Object.entries(services);
  const declared = Object.assign({}, ...documents.map(({ volumes }) => volumes));

  it('has keys alone that docker-compose 1.29 knows too', () => {
    const top = documents.flatMap((document) => Object.keys(document));
    expect(top.filter((key) => !/^(services|networks|volumes|x-.*)$/.test(key))).toEqual([]);
    const known = [
      ...['image', 'build', 'command', 'entrypoint', 'environment', 'healthcheck', 'depends_on'],
      ...['hostname', 'logging', 'networks', 'ports', 'profiles', 'restart', 'stop_grace_period'],
      ...['user', 'volumes'],
    ];
    const unknown = entries.flatMap(([, service]) =>
      Object.keys(service).filter((key) => !known.includes(key)),
    );
    expect(unknown).toEqual([]);
    for (const [, { depends_on: after = {} }] of entries)
      for (const [name, wait] of Object.entries(after)) {
        expect(services).toHaveProperty([name]);
        expect(Object.keys(wait)).toEqual(['condition']);
      }
  });

  it.each(entries)(
    '%s has a pinned image, a health check or a reason, and starts again',
    (name, service) => {
      const PINNED = /^lariat\/\w+:\$\{LARIAT_TAG\}$|^[\w./-]+:v?\d+\.\d+\.\d+[\w.-]*$/;
      const [, variable] = /^\$\{(\w+_IMAGE)\}$/.exec(service.image) ?? [];
      const images =
        variable === undefined
          ? [service.image]
          : ['.env', 'small.env'].map(
              (file) => new RegExp(`^${variable}=(.*)$`, 'm').exec(text(file))?.[1],
            );
      for (const image of images) expect(image).toMatch(PINNED);
      const { disable = false, test = [] } = service.healthcheck;
      expect(disable ? WITHOUT_HEALTH_CHECK.includes(name) : test[0] === 'CMD').toBe(true);
      expect(service.restart).toBe(name === 'lariat' ? 'no' : 'unless-stopped');
      expect(service.logging.options).toHaveProperty('max-size');
    },
  );

  it.each(entries)(
    '%s mounts what is there, and opens ports on this machine alone',
    (_name, service) => {
      const isThere = (from) => {
        if (from.startsWith('./credentials/')) return MADE.includes(basename(from));
        if (from.startsWith('.')) return existsSync(join(COMPOSE, from));
        return from.startsWith('/') || Object.hasOwn(declared, from);
      };
      const sources = service.volumes.map((mount) => mount.split(':')[0]);
      expect(sources.filter((from) => !isThere(from))).toEqual([]);
      for (const port of service.ports ?? []) expect(port).toMatch(/^127\.0\.0\.1:/);
    },
  );

  it.each(entries)('%s is told what its program reads', (name, { environment }) => {
    const ours = Object.keys(environment).filter((variable) => /^(LARIAT|OTEL)_/.test(variable));
    const collector = name === 'otel-collector' ? text('otel-collector.yaml') : '';
    const isRead = (variable) =>
      collector.includes(`env:${variable}`) ||
      sources.some((source) => source.includes(variable)) ||
      // Put together of the signal and the rest.
      /^OTEL_(TRACES|METRICS)_EXPORTER$/.test(variable);
    expect(ours.filter((variable) => !isRead(variable))).toEqual([]);
  });

  it('takes each variable from a file that has it', () => {
    const used = new Set(
      files.flatMap((file) => [...text(file).matchAll(/\$\{(\w+)/g)].map(([, name]) => name)),
    );
    for (const file of ['.env', 'small.env']) {
      const set = new Set([...text(file).matchAll(/^(\w+)=/gm)].map(([, name]) => name));
      expect([...used].filter((name) => !set.has(name))).toEqual([]);
    }
  });

  it('runs nothing of Lariat as root but agents, and what serves a socket of root', () => {
    const roots = entries.filter(
      ([, { image, user }]) => image.startsWith('lariat/service') && user === '0:0',
    );
    expect(roots.map(([name]) => name)).toEqual(['csi-controller']);
    const agents = entries.filter(([, { image }]) => image.startsWith('lariat/agent'));
    expect(agents.map(([name]) => name)).toEqual(['node-1', 'node-2', 'node-3']);
    const dockerfile = readFileSync(join(ROOT, 'deploy', 'image', 'Dockerfile'), 'utf8');
    expect(dockerfile).toMatch(/FROM base AS service\nUSER 10001:10001\n/);
  });
});
