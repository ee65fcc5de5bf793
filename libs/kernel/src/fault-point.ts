/**
 * A named place where a test can make the process fail. In production `reach` does nothing; tests put
 * a real implementation in (libs/testing). Names are paths: `saga/volume.create/place/before`.
 */
export interface FaultPoints {
  reach(name: string): void | Promise<void>;
}

export const noFaultPoints: FaultPoints = { reach: () => undefined };
