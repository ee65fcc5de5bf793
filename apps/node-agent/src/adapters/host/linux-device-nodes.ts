import { lstatSync, mkdirSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { lariatError } from '@lariat/contracts';
import type { DeviceNodesPort } from '../../ports/device-nodes.port.js';

export class LinuxDeviceNodes implements DeviceNodesPort {
  read(node: string): string | null {
    const info = lstatSync(node, { throwIfNoEntry: false });
    if (info === undefined) return null;
    if (info.isSymbolicLink()) return readlinkSync(node);
    throw lariatError(
      'DEVICE_NODE_FOREIGN',
      `${node} is there and is no link of Lariat's; it is left as it is. Move it away, or give the agent another --device-dir`,
      { node },
    );
  }

  point(node: string, device: string): void {
    this.read(node);
    mkdirSync(dirname(node), { recursive: true });
    // Renamed over the old one: at no moment is there none, or half of one.
    const draft = `${node}.new`;
    rmSync(draft, { force: true });
    symlinkSync(device, draft);
    renameSync(draft, node);
  }

  remove(node: string, device: string): void {
    const info = lstatSync(node, { throwIfNoEntry: false });
    if (info?.isSymbolicLink() !== true || readlinkSync(node) !== device) return;
    rmSync(node, { force: true });
  }
}
