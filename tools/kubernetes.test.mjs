import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { readConfig as readPluginConfig } from '../apps/csi-plugin/dist/config.js';
import {
  classParametersOf,
  mutableParametersOf,
} from '../apps/csi-plugin/dist/domain/parameters.js';
import { DRIVER_NAME } from '../apps/csi-plugin/dist/domain/topology.js';
import { readConfig as readAgentConfig } from '../apps/node-agent/dist/config.js';
import { readPrestopOptions } from '../apps/node-agent/dist/prestop.js';
import { CLUSTER_ROLES, authorizationConfig, makeCredentials } from '../libs/bus/dist/index.js';
import { readHostArguments } from '../libs/plugin/dist/host-arguments.js';
import { PROGRAMS } from './programs.mjs';

const FOLDER = join(import.meta.dirname, '..', 'deploy', 'kubernetes');
const KUSTOMIZATION = 'kustomization.yaml';
const textOf = (name) => readFileSync(join(FOLDER, name), 'utf8');
const kustomization = parse(textOf(KUSTOMIZATION));
const documents = kustomization.resources.flatMap((name) => parseAllDocuments(textOf(name)));
const objects = documents.map((document) => document.toJS());
const ofKind = (kind) => objects.filter((object) => object.kind === kind);
const only = (kind, name) => {
  const found = ofKind(kind).filter(({ metadata }) => name === undefined || metadata.name === name);
  expect(found.map(({ metadata }) => metadata.name)).toHaveLength(1);
  return found[0];
};
const workloads = ['Deployment', 'DaemonSet', 'StatefulSet'].flatMap(ofKind);
const podOf = ({ spec }) => spec.template.spec;
const containers = workloads.flatMap((workload) =>
  podOf(workload).containers.map((container) => ({ workload, container })),
);
const containerOf = (workload, name) =>
  podOf(workload).containers.find((container) => container.name === name);
const flagOf = ({ args }, flag) =>
  args.find((arg) => arg.startsWith(`--${flag}=`))?.slice(flag.length + 3);
/** What Kubernetes puts there. */
const DOWNWARD = { 'spec.nodeName': 'node-1', 'status.hostIP': '192.0.2.7' };
const envOf = ({ env = [], envFrom = [] }) =>
  Object.fromEntries([
    ...envFrom.flatMap(({ configMapRef }) =>
      kustomization.configMapGenerator
        .find(({ name }) => name === configMapRef.name)
        .literals.map((literal) => {
          const at = literal.indexOf('=');
          return [literal.slice(0, at), literal.slice(at + 1)];
        }),
    ),
    ...env.map(({ name, value, valueFrom }) => [
      name,
      value ?? DOWNWARD[valueFrom.fieldRef.fieldPath],
    ]),
  ]);
const agent = containerOf(only('DaemonSet', 'lariat-node-agent'), 'node-agent');
const controller = only('Deployment', 'lariat-csi-controller');
const node = only('DaemonSet', 'lariat-csi-node');
/** What is added where the cluster has group snapshots. */
const GROUP = 'group-snapshots';
const component = parse(textOf(join(GROUP, KUSTOMIZATION)));
const added = component.resources.flatMap((name) =>
  parseAllDocuments(textOf(join(GROUP, name))).map((document) => document.toJS()),
);
const groupClass = added.find(({ kind }) => kind === 'VolumeGroupSnapshotClass');
const services = containerOf(only('Deployment', 'lariat-services'), 'services');

describe('the manifests', () => {
  it('are all listed, and what they refer to is there', () => {
    expect(documents.flatMap(({ errors }) => errors)).toEqual([]);
    const files = readdirSync(FOLDER).filter((name) => name.endsWith('.yaml'));
    expect(files.filter((name) => name !== KUSTOMIZATION).toSorted()).toEqual(
      kustomization.resources.toSorted(),
    );
    expect(only('Namespace').metadata.name).toBe(kustomization.namespace);
    for (const workload of workloads) {
      const { selector, template } = workload.spec;
      expect(template.metadata.labels).toMatchObject(selector.matchLabels);
      const pod = podOf(workload);
      const volumes = [
        ...(pod.volumes ?? []),
        ...(workload.spec.volumeClaimTemplates ?? []).map(({ metadata }) => metadata),
      ].map(({ name }) => name);
      const mounted = pod.containers.flatMap(({ volumeMounts = [] }) =>
        volumeMounts.map(({ name }) => name),
      );
      expect(new Set(mounted)).toEqual(new Set(volumes));
      const maps = (pod.volumes ?? []).flatMap(({ configMap }) => configMap?.name ?? []);
      for (const name of maps)
        expect(kustomization.configMapGenerator.map((made) => made.name)).toContain(name);
    }
  });

  it('are rendered by kubectl, where it is there', (context) => {
    let rendered;
    try {
      rendered = execFileSync('kubectl', ['kustomize', FOLDER], { encoding: 'utf8' });
    } catch (error) {
      if (error.code === 'ENOENT') return context.skip('kubectl is not installed');
      throw error;
    }
    const kinds = parseAllDocuments(rendered).map((document) => document.toJS().kind);
    expect(kinds).toHaveLength(objects.length + kustomization.configMapGenerator.length);
  });

  it('are rendered with credentials that were made, where kubectl is there', (context) => {
    const copy = mkdtempSync(join(tmpdir(), 'lariat-kustomize-'));
    try {
      for (const name of ['kubernetes', 'kubernetes-with-credentials'])
        cpSync(join(FOLDER, '..', name), join(copy, name), { recursive: true });
      const folder = join(copy, 'kubernetes-with-credentials');
      const users = makeCredentials(join(folder, 'credentials'), CLUSTER_ROLES);
      writeFileSync(join(folder, 'credentials', 'bus.conf'), authorizationConfig(users));
      const rendered = execFileSync('kubectl', ['kustomize', folder], { encoding: 'utf8' });
      const made = parseAllDocuments(rendered).map((document) => document.toJS());
      const pods = made.flatMap(({ spec }) => spec?.template?.spec ?? []);
      const named = pods.flatMap(({ containers: all, volumes = [] }) =>
        all
          .filter(
            ({ image, env = [] }) =>
              image.startsWith('lariat:') &&
              env.some(({ name }) => name === 'LARIAT_NATS_CREDENTIALS'),
          )
          .map(() => volumes.find(({ name }) => name === 'credentials')),
      );
      expect(named).toHaveLength(4);
      const secrets = made.filter(({ kind }) => kind === 'Secret');
      const files = Object.fromEntries(
        secrets.map(({ metadata, data }) => [
          metadata.name.replace(/-[a-z0-9]+$/, ''),
          Object.keys(data),
        ]),
      );
      // Nothing that speaks for a node, or for operators, is in the cluster's secrets.
      expect(files).toEqual({
        'lariat-services': ['backing-image-svc.nk', 'replica-svc.nk', 'volume-svc.nk'],
        'lariat-csi': ['csi.nk'],
        'lariat-csi-node': ['csi-node.nk'],
      });
      const mounted = named.flatMap(({ secret }) => secret?.secretName ?? []);
      expect(new Set(mounted)).toEqual(new Set(secrets.map(({ metadata }) => metadata.name)));
    } catch (error) {
      if (error.code === 'ENOENT') return context.skip('kubectl is not installed');
      throw error;
    } finally {
      rmSync(copy, { recursive: true, force: true });
    }
  });

  it('name one driver', () => {
    expect([
      only('CSIDriver').metadata.name,
      ...new Set(ofKind('StorageClass').map(({ provisioner }) => provisioner)),
      only('VolumeAttributesClass').driverName,
      only('VolumeSnapshotClass').driver,
      groupClass.driver,
    ]).toEqual([DRIVER_NAME, DRIVER_NAME, DRIVER_NAME, DRIVER_NAME, DRIVER_NAME]);
  });

  it('have classes that the driver takes', () => {
    expect(classParametersOf(only('StorageClass', 'lariat').parameters)).toMatchObject({
      ...{ replicas: 3, fsType: 'ext4', encrypted: false },
    });
    const { parameters } = only('StorageClass', 'lariat-encrypted');
    expect(classParametersOf(parameters)).toMatchObject({ encrypted: true });
    // Without a secret for each of both calls the driver refuses.
    for (const call of ['stage', 'expand'])
      for (const part of ['name', 'namespace'])
        expect(parameters[`csi.storage.k8s.io/node-${call}-secret-${part}`]).toBeTypeOf('string');
    expect(mutableParametersOf(only('VolumeAttributesClass').parameters).qos).toEqual({
      rwIops: 5_000,
    });
  });

  it('start programs that there are, with arguments that they take', () => {
    const files = PROGRAMS.map(({ file }) => file);
    const ours = containers.filter(({ container }) => container.image === 'lariat');
    expect(ours).toHaveLength(4);
    for (const { container } of ours) {
      const [program, file] = container.command;
      expect(program).toBe('node');
      expect(files.map((path) => join('/opt/lariat', path))).toContain(file);
    }
    const plugin = (workload) => {
      const container = containerOf(workload, 'csi-plugin');
      return readPluginConfig(container.args, envOf(container));
    };
    expect(plugin(controller)).toMatchObject({ mode: 'controller' });
    expect(plugin(node)).toMatchObject({ mode: 'node', node: 'node-1' });
    expect(readAgentConfig(agent.args, envOf(agent))).toMatchObject({
      ...{ node: 'node-1', traddr: '192.0.2.7', trsvcid: 4420, target: 'soft' },
      disks: [{ name: 'data', sizeBytes: 100 * 1024 ** 3 }],
    });
    const [argv, before] = [process.argv, process.argv.slice(0, 2)];
    process.argv = [...before, ...services.args];
    try {
      expect(readHostArguments().plugin).toEqual([
        '@lariat/volume-svc',
        '@lariat/replica-svc',
        '@lariat/backing-image-svc',
      ]);
    } finally {
      process.argv = argv;
    }
  });

  it('let an agent stand down before it is stopped, for less than its grace', () => {
    const [program, file, verb, ...flags] = agent.lifecycle.preStop.exec.command;
    expect([program, file, verb]).toEqual([...agent.command, 'prestop']);
    const { dataDir, deadlineMs } = readPrestopOptions(flags, {});
    expect(dataDir).toBe(readAgentConfig(agent.args, envOf(agent)).dataDir);
    const { terminationGracePeriodSeconds } = podOf(only('DaemonSet', 'lariat-node-agent'));
    expect(deadlineMs).toBeLessThan(terminationGracePeriodSeconds * 1_000);
  });

  it('let sidecars and the kubelet meet the plugin at its socket', () => {
    for (const workload of [controller, node]) {
      const endpoint = flagOf(containerOf(workload, 'csi-plugin'), 'endpoint');
      const socketPath = new URL(endpoint).pathname;
      for (const container of podOf(workload).containers) {
        expect(container.volumeMounts).toContainEqual({
          ...{ name: 'socket', mountPath: dirname(socketPath) },
        });
        const flag = container.image === 'lariat' ? 'endpoint' : 'csi-address';
        expect([container.name, flagOf(container, flag)?.replace('unix://', '')]).toEqual([
          ...[container.name, socketPath],
        ]);
      }
    }
    const { hostPath } = podOf(node).volumes.find(({ name }) => name === 'socket');
    const registrar = containerOf(node, 'node-driver-registrar');
    expect(hostPath.path).toBe(`/var/lib/kubelet/plugins/${DRIVER_NAME}`);
    expect(flagOf(registrar, 'kubelet-registration-path')).toBe(join(hostPath.path, 'csi.sock'));
  });

  it('have a sidecar for each part of the controller', () => {
    const names = podOf(controller).containers.map(({ name }) => name);
    expect(names).toEqual([
      ...['csi-plugin', 'csi-provisioner', 'csi-attacher', 'csi-resizer', 'csi-snapshotter'],
    ]);
    const [, ...sidecars] = podOf(controller).containers;
    for (const { name, args } of sidecars)
      expect([name, args.includes('--leader-election')]).toEqual([name, true]);
  });

  it('let the sidecar take group snapshots, with rights for them, where the component is used', () => {
    const [{ target, patch }] = component.patches;
    expect(component.patches).toHaveLength(1);
    expect(only(target.kind, target.name)).toBe(controller);
    const [guard, change] = parse(patch);
    const at = '/spec/template/spec/containers/4';
    expect([guard.op, guard.path, change.op, change.path]).toEqual([
      ...['test', `${at}/name`, 'add', `${at}/args/-`],
    ]);
    expect(podOf(controller).containers[4].name).toBe(guard.value);
    expect(change.value).toBe('--feature-gates=CSIVolumeGroupSnapshot=true');
    const rights = added.find(({ kind }) => kind === 'ClusterRole');
    const binding = added.find(({ kind }) => kind === 'ClusterRoleBinding');
    expect(rights.rules.flatMap(({ resources }) => resources)).toEqual(
      expect.arrayContaining(['volumegroupsnapshotcontents', 'volumegroupsnapshotcontents/status']),
    );
    for (const { apiGroups, resources, verbs } of rights.rules)
      expect([...apiGroups, ...resources, ...verbs]).not.toContain('*');
    expect(binding.roleRef.name).toBe(rights.metadata.name);
    expect(binding.subjects).toEqual([
      {
        kind: 'ServiceAccount',
        name: podOf(controller).serviceAccountName,
        namespace: kustomization.namespace,
      },
    ]);
  });

  it('show devices and what they stand on to agent and plugin at the same paths', () => {
    const mountOf = ({ volumeMounts }, name) => volumeMounts.find((mount) => mount.name === name);
    const plugin = containerOf(node, 'csi-plugin');
    for (const name of ['dev', 'data'])
      expect(mountOf(plugin, name).mountPath).toBe(mountOf(agent, name).mountPath);
    expect(mountOf(agent, 'data').mountPropagation).toBe('Bidirectional');
    expect(mountOf(plugin, 'data').mountPropagation).toBe('HostToContainer');
    expect(mountOf(plugin, 'kubelet')).toMatchObject({
      ...{ mountPath: '/var/lib/kubelet', mountPropagation: 'Bidirectional' },
    });
    for (const workload of [only('DaemonSet', 'lariat-node-agent'), node])
      for (const name of ['dev', 'data']) {
        const { hostPath } = podOf(workload).volumes.find((volume) => volume.name === name);
        expect(hostPath.path).toBe(mountOf(agent, name).mountPath);
      }
    const { deviceDir, dataDir } = readAgentConfig(agent.args, envOf(agent));
    expect(deviceDir.startsWith(`${mountOf(agent, 'dev').mountPath}/`)).toBe(true);
    expect(dataDir.startsWith(`${mountOf(agent, 'data').mountPath}/`)).toBe(true);
    const { dataDir: records } = readPluginConfig(plugin.args, envOf(plugin));
    expect(records.startsWith(`${mountOf(plugin, 'data').mountPath}/`)).toBe(true);
    expect(records.startsWith(dataDir)).toBe(false);
  });

  it('lead all programs to one NATS', () => {
    const service = only('Service');
    const [port] = service.spec.ports;
    const server = only('StatefulSet');
    expect(server.spec.template.metadata.labels).toMatchObject(service.spec.selector);
    expect(server.spec.serviceName).toBe(service.metadata.name);
    const listening = containerOf(server, 'nats').ports.find(
      ({ name }) => name === port.targetPort,
    );
    expect(listening.containerPort).toBe(port.port);
    expect(textOf('nats.conf')).toContain(`port: ${port.port}\n`);
    const urls = containers
      .filter(({ container }) => container.image === 'lariat')
      .map(({ container }) => flagOf(container, 'nats'));
    expect(new Set(urls)).toEqual(new Set([`nats://${service.metadata.name}:${port.port}`]));
  });

  it('name each image with its version', () => {
    expect(kustomization.images).toEqual([
      {
        name: 'lariat',
        newTag: JSON.parse(readFileSync(join(FOLDER, '..', '..', 'package.json'))).version,
      },
    ]);
    const others = containers.filter(({ container }) => container.image !== 'lariat');
    for (const { container } of others) expect(container.image).toMatch(/:v?\d+\.\d+[^:]*$/);
  });

  it('give each part the least that it needs', () => {
    const roles = [...ofKind('ClusterRole'), ...ofKind('Role')];
    for (const { rules } of roles)
      for (const { apiGroups, resources, verbs } of rules) {
        expect([...apiGroups, ...resources, ...verbs]).not.toContain('*');
        expect(resources).not.toContain('secrets');
      }
    for (const binding of [...ofKind('ClusterRoleBinding'), ...ofKind('RoleBinding')]) {
      expect(roles.map(({ kind, metadata }) => `${kind} ${metadata.name}`)).toContain(
        `${binding.roleRef.kind} ${binding.roleRef.name}`,
      );
      for (const { name, namespace } of binding.subjects) {
        expect(only('ServiceAccount', name).metadata.name).toBe(name);
        expect(namespace).toBe(kustomization.namespace);
      }
    }
    const withAccount = workloads.filter(
      (one) => podOf(one).automountServiceAccountToken !== false,
    );
    expect(withAccount.map(({ metadata }) => metadata.name)).toEqual(['lariat-csi-controller']);
    const privileged = containers.filter(
      ({ container }) => container.securityContext?.privileged === true,
    );
    expect(new Set(privileged.map(({ workload }) => workload.metadata.name))).toEqual(
      new Set(['lariat-csi-node', 'lariat-node-agent']),
    );
  });
});
