import type { TargetContent } from '../domain/find-unowned.js';
import type { TargetPort } from '../ports/target.port.js';

/** All that the target lists, side by side. */
export async function readTarget(target: TargetPort): Promise<TargetContent> {
  const { lvol, nvmf, nvme, raid } = target.spdk();
  const [stores, lvols, subsystems, controllers, raids] = await Promise.all([
    lvol.getLvstores(),
    lvol.getLvols(),
    nvmf.getSubsystems(),
    nvme.getControllers(),
    raid.getBdevs(),
  ]);
  return { stores, lvols, subsystems, controllers, raids };
}
