import { connectNamespace } from '../contract/support/nvme-host.js';
import { readAt } from '../contract/support/pattern.js';
import type { TargetProcess } from '../contract/support/target-process.js';

/** All that an lvol holds once its target has been started anew on what is left of the disk; the export stays. */
export async function contentAfterRestart(
  target: TargetProcess,
  lvol: string,
  { nqn, hostNqn }: { readonly nqn: string; readonly hostNqn: string },
): Promise<Buffer> {
  await target.restart();
  await target.openDisk();
  await target.exportBdev(nqn, lvol, hostNqn);
  const { device, close } = await connectNamespace(target.port, nqn, hostNqn);
  const content = await readAt(device, 0, device.sizeBytes);
  await close();
  return content;
}
