import type { Clock, FaultPoints, ReconcileCounts } from '@lariat/kernel';
import type { CommandClient, LariatClient } from '@lariat/messaging';
import type { RecordLists } from '@lariat/read-model';
import type { Log, Metrics, Telemetry } from '@lariat/telemetry';
import type { DynamicModule, Type } from '@nestjs/common';
import type { NatsConnection } from '@nats-io/nats-core';

/** What the host gives to a plugin; injected as PLUGIN_CONTEXT. */
export interface PluginContext {
  readonly plugin: string;
  /** Changes with every start. */
  readonly instance: string;
  readonly connection: NatsConnection;
  readonly client: LariatClient;
  readonly commands: CommandClient;
  readonly telemetry: Telemetry;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Log;
  readonly faults: FaultPoints;
  /** Where its reconcilers say what they did; `$SRV.STATS` shows it. */
  readonly reconciled: ReconcileCounts;
  /** Of its records; `$SRV.STATS` shows how they are served. */
  readonly lists: RecordLists;
}

export const PLUGIN_CONTEXT = Symbol('PLUGIN_CONTEXT');

/** A service: a Nest module and how it is known. Stateless between messages, so that copies may be started. */
export interface PluginDefinition {
  /** A-Z, a-z, 0-9, '-' and '_'; also its queue group. */
  readonly name: string;
  /** Semantic version. */
  readonly version: string;
  readonly description?: string;
  /** A module class, or what makes one from the context. */
  readonly module: Type | ((context: PluginContext) => DynamicModule | Promise<DynamicModule>);
  /** For readers: the requests it answers and the streams it uses. */
  readonly subjects?: readonly string[];
  readonly streams?: readonly string[];
}

const PLUGIN_NAME = /^[A-Za-z0-9_-]{1,64}$/;
const SEMANTIC_VERSION = /^\d+\.\d+\.\d+/;

/** Declares a plugin; a package exports it as `plugin`. */
export function definePlugin(definition: PluginDefinition): PluginDefinition {
  if (!PLUGIN_NAME.test(definition.name))
    throw new Error(`plugin name '${definition.name}' may have only A-Z, a-z, 0-9, '-' and '_'`);
  if (!SEMANTIC_VERSION.test(definition.version))
    throw new Error(`plugin '${definition.name}': version '${definition.version}' is not semantic`);
  return definition;
}

export function isPluginDefinition(value: unknown): value is PluginDefinition {
  if (typeof value !== 'object' || value === null) return false;
  const { name, version, module } = value as Partial<Record<keyof PluginDefinition, unknown>>;
  return typeof name === 'string' && typeof version === 'string' && module !== undefined;
}
