import { ReplicaMode, type VolumeRecord } from '@lariat/contracts';

/**
 * stalls: its engine is on the node, and its host waits until that is back. misses: it may lose the leg there, and has it
 * brought up to date. fails: its engine is elsewhere and has no other leg, and what it can't reach in 2 s is an error.
 */
export type RestartEffect = 'stalls' | 'misses' | 'fails';

/** What a restart of a node's target means to a volume; undefined: nothing. Pure. */
export function effectOfRestart(volume: VolumeRecord, node: string): RestartEffect | undefined {
  const { attachment, replicas } = volume;
  if (attachment === null) return undefined;
  if (attachment.node === node) return 'stalls';
  const legs = replicas.filter(({ mode }) => mode === ReplicaMode.rw);
  if (!legs.some((leg) => leg.node === node)) return undefined;
  return legs.some((leg) => leg.node !== node) ? 'misses' : 'fails';
}

export interface TargetUser {
  readonly volume: VolumeRecord;
  readonly effect: RestartEffect;
}

export const targetUsers = (
  volumes: readonly VolumeRecord[],
  node: string,
): readonly TargetUser[] =>
  volumes.flatMap((volume) => {
    const effect = effectOfRestart(volume, node);
    return effect === undefined ? [] : [{ volume, effect }];
  });

const SAID: Readonly<Record<RestartEffect, (volume: VolumeRecord) => string>> = {
  stalls: ({ name, attachment }) =>
    attachment?.frontend === 'nvmf'
      ? `volume ${name} stalls; a host of it that does not reconnect by itself sees errors`
      : `volume ${name} stalls`,
  misses: ({ name }) =>
    `volume ${name} goes on; its replica here is brought up to date when it was missed`,
  fails: ({ name }) =>
    `volume ${name} stalls, and sees errors after 2 s: its engine is elsewhere and has no other replica`,
};

/** In a person's words. */
export const sayEffect = ({ volume, effect }: TargetUser): string => SAID[effect](volume);
