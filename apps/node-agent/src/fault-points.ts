import { noFaultPoints, type FaultPoints } from '@lariat/kernel';

/**
 * The one place where fault points are bound; see CommandExecutor for the names that are reached. With
 * LARIAT_FAULTS=1 (`enabled`) a build for chaos tests binds its own here.
 */
export function bindFaultPoints(_enabled: boolean): FaultPoints {
  return noFaultPoints;
}
