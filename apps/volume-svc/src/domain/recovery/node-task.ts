import type { CommandMap, CommandName } from '@lariat/contracts';

type TaskOf<Name extends CommandName> = {
  readonly node: string;
  readonly command: Name;
  readonly input: CommandMap[Name]['input'];
};

/** What a node must do before a volume's record holds again: it ends what an operation left half done. */
export type NodeTask = {
  [
    Name in
      | 'frontend.stop'
      | 'engine.stop'
      | 'engine.remove-leg'
      | 'engine.resize'
      | 'rebuild.unexport-snapshot'
      | 'rebuild.detach-scratch'
      | 'snapshot.delete'
      | 'replica.resize'
  ]: TaskOf<Name>;
}[
  | 'frontend.stop'
  | 'engine.stop'
  | 'engine.remove-leg'
  | 'engine.resize'
  | 'rebuild.unexport-snapshot'
  | 'rebuild.detach-scratch'
  | 'snapshot.delete'
  | 'replica.resize'];
