import { delay } from '@lariat/kernel';
import { NvmeTcpHost, type NvmeTcpController, type NvmeTcpHostOptions } from '@lariat/nvme-tcp';

export interface FailoverSearch {
  /** Other paths than the broken one, the next to try first; asked for anew before each round. */
  readonly candidates: () => readonly NvmeTcpHostOptions[];
  /** False once the broken path is back, or the controller is given up. */
  readonly isWanted: () => boolean;
  /** Between two rounds; undefined for one round alone. */
  readonly pauseMs: number | undefined;
  readonly onFailure: (path: NvmeTcpHostOptions, error: unknown) => void;
}

export interface FoundPath {
  readonly path: NvmeTcpHostOptions;
  readonly connection: NvmeTcpController;
}

/** Connects on the first path that works; undefined when none does, or none is wanted any longer. */
export async function findPath(search: FailoverSearch): Promise<FoundPath | undefined> {
  const { candidates, isWanted, pauseMs, onFailure } = search;
  for (;;) {
    for (const path of candidates()) {
      if (!isWanted()) return undefined;
      try {
        const connection = await NvmeTcpHost.connect(path);
        if (isWanted()) return { path, connection };
        await connection.close();
        return undefined;
      } catch (error) {
        onFailure(path, error);
      }
    }
    if (pauseMs === undefined || !isWanted()) return undefined;
    await delay(pauseMs);
  }
}
