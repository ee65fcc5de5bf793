import { randomBytes } from 'node:crypto';
import { NbdClient } from '@lariat/cli';
import { delay } from '@lariat/kernel';

const BLOCK_BYTES = 16 * 1024;

export interface LoadReport {
  readonly blocks: number;
  readonly failures: readonly string[];
}

export interface SteadyLoad {
  soFar(): LoadReport;
  end(): Promise<LoadReport>;
}

/** Writes and reads back over and over until it is ended; no call may fail, and each read gives what was written. */
export async function steadyLoad(endpoint: string, sizeBytes: number): Promise<SteadyLoad> {
  const device = await NbdClient.connect(endpoint);
  const failures: string[] = [];
  let blocks = 0;
  let ended = false;
  const running = (async () => {
    while (!ended && failures.length === 0) {
      const offset = (blocks % (sizeBytes / BLOCK_BYTES)) * BLOCK_BYTES;
      const data = randomBytes(BLOCK_BYTES);
      try {
        await device.write(offset, data);
        if (!(await device.read(offset, BLOCK_BYTES)).equals(data))
          failures.push(`block ${blocks} was read as another`);
      } catch (error) {
        failures.push(String(error));
      }
      blocks += 1;
      await delay(5);
    }
  })();
  return {
    soFar: () => ({ blocks, failures }),
    end: async () => {
      ended = true;
      await running;
      await device.close();
      return { blocks, failures };
    },
  };
}
