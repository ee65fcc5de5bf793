import type { CommandMap } from '@lariat/contracts';

type TaskName =
  | 'frontend.stop'
  | 'engine.stop'
  | 'engine.remove-leg'
  | 'engine.resize'
  | 'rebuild.unexport-snapshot'
  | 'rebuild.detach-scratch'
  | 'snapshot.delete'
  | 'replica.resize';

type TaskOf<Name extends TaskName> = {
  readonly node: string;
  readonly command: Name;
  readonly input: CommandMap[Name]['input'];
};

/** What a node must do before a volume's record holds again: it ends what an operation left half done. */
export type NodeTask = { [Name in TaskName]: TaskOf<Name> }[TaskName];
