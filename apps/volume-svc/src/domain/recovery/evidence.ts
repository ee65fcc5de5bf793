import type {
  EngineReport,
  SurveyedImage,
  SurveyedReplica,
  SurveyedVolume,
  VolumeRecord,
} from '@lariat/contracts';

/** What one node told, or why it told nothing. */
export type NodeAnswer =
  | {
      readonly node: string;
      readonly answered: true;
      /** Disks that it knows and sees. */
      readonly disks: readonly string[];
      readonly volumes: readonly SurveyedVolume[];
      readonly images: readonly SurveyedImage[];
    }
  | { readonly node: string; readonly answered: false; readonly reason: string };

export interface FoundReplica extends SurveyedReplica {
  readonly node: string;
}

/** All that the nodes tell of one volume. */
export interface VolumeEvidence {
  readonly volume: string;
  readonly copies: readonly { readonly node: string; readonly record: VolumeRecord }[];
  readonly replicas: readonly FoundReplica[];
  readonly engines: readonly (EngineReport & { readonly node: string })[];
  /** The highest epoch that any of them has seen. */
  readonly epoch: number;
}

/** Which nodes were heard. */
export interface Hearing {
  /** Node -> the disks that it knows and sees. */
  readonly answered: ReadonlyMap<string, ReadonlySet<string>>;
  /** Node -> why it did not answer. */
  readonly silent: ReadonlyMap<string, string>;
}

export function hearingOf(answers: readonly NodeAnswer[]): Hearing {
  return {
    answered: new Map(
      answers.flatMap((answer) =>
        answer.answered ? [[answer.node, new Set(answer.disks)] as const] : [],
      ),
    ),
    silent: new Map(
      answers.flatMap((answer) => (answer.answered ? [] : [[answer.node, answer.reason]])),
    ),
  };
}

/** What was told, volume by volume, in the order of their ids. */
export function evidenceByVolume(answers: readonly NodeAnswer[]): readonly VolumeEvidence[] {
  const told = new Map<string, (SurveyedVolume & { readonly node: string })[]>();
  for (const answer of answers) {
    if (!answer.answered) continue;
    for (const volume of answer.volumes) {
      const list = told.get(volume.volume) ?? [];
      list.push({ ...volume, node: answer.node });
      told.set(volume.volume, list);
    }
  }
  return Array.from(told, ([volume, parts]) => ({
    volume,
    copies: parts.flatMap(({ node, record }) => (record === null ? [] : [{ node, record }])),
    replicas: parts.flatMap(({ node, replicas }) =>
      replicas.map((replica) => ({ ...replica, node })),
    ),
    engines: parts.flatMap(({ node, engine }) => (engine === null ? [] : [{ ...engine, node }])),
    epoch: Math.max(0, ...parts.map(({ epoch }) => epoch)),
  })).toSorted((a, b) => (a.volume < b.volume ? -1 : 1));
}
