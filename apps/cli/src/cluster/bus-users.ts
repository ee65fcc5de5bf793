import { readdirSync, rmSync } from 'node:fs';
import {
  type BusRole,
  type BusUser,
  CLUSTER_ROLES,
  credentialsFile,
  makeCredentials,
} from '@lariat/bus';

const AGENT_FILE = /^agent-(.+)\.nk$/;

/** Who may connect: the roles that each cluster has, and each node with a file in the folder. */
export function busUsers(folder: string): readonly BusUser[] {
  const users = makeCredentials(folder, CLUSTER_ROLES);
  const nodes = readdirSync(folder).flatMap((name) => AGENT_FILE.exec(name)?.[1] ?? []);
  return [...users, ...makeCredentials(folder, nodes.toSorted().map(agentOf))];
}

/** Makes the credentials of nodes' agents; the server has to be told. */
export function admitNodes(folder: string, nodes: readonly string[]): void {
  makeCredentials(folder, nodes.map(agentOf));
}

export function dismissNode(folder: string, node: string): void {
  rmSync(credentialsFile(folder, agentOf(node)), { force: true });
}

const agentOf = (node: string): BusRole => ({ kind: 'agent', node });
