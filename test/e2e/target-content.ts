import type { QosLimits, Spdk } from '@lariat/spdk';

/** What a target has that its agent made, without what differs from one life of it to the next. */
export interface TargetContent {
  readonly bdevs: readonly {
    readonly name: string;
    readonly uuid: string;
    readonly sizeBytes: number;
    readonly parent: string | null;
  }[];
  readonly limits: readonly { readonly bdev: string; readonly limits: Required<QosLimits> }[];
  readonly subsystems: readonly {
    readonly nqn: string;
    readonly namespace: string | undefined;
    readonly hosts: readonly string[];
    readonly allowAnyHost: boolean;
    readonly listeners: readonly string[];
  }[];
  readonly raids: readonly {
    readonly name: string;
    readonly uuid: string;
    readonly state: string;
    readonly bases: readonly (string | null)[];
  }[];
  readonly controllers: readonly {
    readonly name: string;
    readonly paths: readonly { readonly state: string; readonly to: string }[];
  }[];
}

const byName = (a: { readonly name: string }, b: { readonly name: string }): number =>
  a.name < b.name ? -1 : 1;

export async function contentOf({ bdev, nvmf, raid, nvme }: Spdk): Promise<TargetContent> {
  const bdevs = [...(await bdev.getBdevs())].toSorted(byName);
  const subsystems = (await nvmf.getSubsystems()).toSorted((a, b) => (a.nqn < b.nqn ? -1 : 1));
  const raids = (await raid.getBdevs()).toSorted(byName);
  const controllers = (await nvme.getControllers()).toSorted(byName);
  return {
    bdevs: bdevs.map(({ name, uuid, sizeBytes, lvol }) => ({
      ...{ name, uuid, sizeBytes },
      parent: lvol?.baseSnapshot ?? lvol?.externalSnapshotName ?? null,
    })),
    limits: bdevs.flatMap(({ name, limits }) =>
      limits !== undefined && Object.values(limits).some((limit) => limit > 0)
        ? [{ bdev: name, limits }]
        : [],
    ),
    subsystems: subsystems.map((one) => ({
      nqn: one.nqn,
      namespace: one.namespaces[0]?.uuid,
      hosts: one.hosts.toSorted(),
      allowAnyHost: one.allowAnyHost,
      listeners: one.listenAddresses.map(({ traddr, trsvcid }) => `${traddr}:${trsvcid}`),
    })),
    raids: raids.map(({ name, uuid, state, baseBdevs }) => ({
      ...{ name, uuid, state },
      bases: baseBdevs.map((base) => base.name),
    })),
    controllers: controllers.map(({ name, paths }) => ({
      name,
      paths: paths.map(({ state, address, hostNqn }) => ({
        state,
        to: `${address.traddr}:${address.trsvcid} ${address.subnqn} as ${hostNqn}`,
      })),
    })),
  };
}

/** What one has and the other has not, in words that a failed test can print. */
export function differences(before: TargetContent, after: TargetContent): readonly string[] {
  return (Object.keys(before) as (keyof TargetContent)[]).flatMap((kind) => {
    const was = before[kind].map((one) => JSON.stringify(one));
    const is = after[kind].map((one) => JSON.stringify(one));
    return [
      ...was.filter((one) => !is.includes(one)).map((one) => `${kind}: missing ${one}`),
      ...is.filter((one) => !was.includes(one)).map((one) => `${kind}: new ${one}`),
    ];
  });
}
