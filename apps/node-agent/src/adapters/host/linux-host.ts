import { existsSync } from 'node:fs';
import { toLariatError } from '@lariat/kernel';
import { findProgram } from '@lariat/programs';
import { type HostFacts, NEEDS } from '../../domain/frontend-offers.js';
import type { HostPort } from '../../ports/host.port.js';
import type { LogPort } from '../../ports/log.port.js';
import type { ProgramsPort } from '../../ports/programs.port.js';

/**
 * The node's start does not wait longer for a module. One that is given up is missing until the agent's next start, devices that
 * were there before the machine was reset included: and a machine that has just been reset is busy.
 */
const MODPROBE_DEADLINE_MS = 30_000;
/** What makes the devices of NEEDS; nvme-fabrics comes with nvme-tcp. */
const MODULES = ['nvme_tcp', 'dm_mod', 'loop', 'fuse'];

/** The Linux machine itself. */
export class LinuxHost implements HostPort {
  constructor(
    private readonly programs: ProgramsPort,
    private readonly log: LogPort,
  ) {}

  async look(): Promise<HostFacts> {
    const isRoot = process.getuid?.() === 0;
    const missing = MODULES.filter((module) => !isLoaded(module));
    if (isRoot && missing.length > 0 && findProgram('modprobe') !== undefined) {
      // Side by side: one that hangs holds up no other.
      await Promise.all(missing.map((module) => this.load(module)));
    }
    const needs = Object.values(NEEDS);
    const present = (names: readonly string[], isThere: (name: string) => boolean) =>
      new Set(names.filter((name) => isThere(name)));
    return {
      isRoot,
      programs: present(
        needs.flatMap(({ programs }) => Object.keys(programs)),
        (name) => findProgram(name) !== undefined,
      ),
      devices: present(
        needs.flatMap(({ devices }) => Object.keys(devices)),
        (path) => existsSync(path),
      ),
      modules: present(
        needs.flatMap(({ modules }) => modules),
        isLoaded,
      ),
    };
  }

  private async load(module: string): Promise<void> {
    try {
      await this.programs.run({
        program: 'modprobe',
        args: ['--quiet', module],
        deadlineMs: MODPROBE_DEADLINE_MS,
        why: 'offer frontends that are block devices',
        operation: 'agent-start',
      });
    } catch (reason) {
      // What is missing for it is on the node's record.
      this.log.info('module not loaded', { module, error: toLariatError(reason).message });
    }
  }
}

/** A module without parameters that is built in is not listed: its device says more then. */
function isLoaded(module: string): boolean {
  return existsSync(`/sys/module/${module}`);
}
