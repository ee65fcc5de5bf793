import { type IdleImageCopy, copiesToFreeAll } from '@lariat/contracts';
import type { LariatClient } from '@lariat/messaging';
import type { Log } from '@lariat/telemetry';
import type { DiskState } from '../domain/disk-state.js';
import type { PlaceRequest } from '../domain/place.js';
import { planEviction } from '../domain/plan-eviction.js';

/** A service that does not answer keeps nobody waiting for a refusal. */
const LIST_TIMEOUT_MS = 2_000;
/** As long as a node may take to delete a copy. */
const EVICT_TIMEOUT_MS = 20_000;
/** Others may take what was freed for one; then it is told that there is no room. */
export const MOST_EVICTIONS = 5;

/** What an attempt to make room came to. */
export interface RoomMade {
  /** It is worth another try. */
  readonly isMade: boolean;
  /** That was for somebody else, who may take all of it. */
  readonly isForOther: boolean;
  /** The copies that may still go; null: the image service did not say. */
  readonly idle: readonly IdleImageCopy[] | null;
}

export const NO_ROOM_MADE: RoomMade = { isMade: false, isForOther: false, idle: null };
const TRY_AGAIN: RoomMade = { ...NO_ROOM_MADE, isMade: true };

/** Has idle copies of images evicted from disks that are full of them. */
export class RoomMaker {
  private underWay: Promise<RoomMade> | undefined;

  constructor(
    private readonly client: Pick<LariatClient, 'request'>,
    private readonly log: Log,
  ) {}

  /** Where the request would find a place for all of its replicas. */
  forRequest(request: PlaceRequest, disks: () => readonly DiskState[]): Promise<RoomMade> {
    return this.make((idle) => planEviction(request, disks(), idle));
  }

  /** As much as each of the disks lacks, by the disk's id; no copy of that image goes. */
  onDisks(lackingBytes: ReadonlyMap<string, number>, exceptImage?: string): Promise<RoomMade> {
    // Room that came free since.
    if ([...lackingBytes.values()].every((bytes) => bytes <= 0)) return Promise.resolve(TRY_AGAIN);
    return this.make((idle) =>
      copiesToFreeAll(
        idle.filter(({ image }) => image !== exceptImage),
        lackingBytes,
      ),
    );
  }

  /** One at a time: who comes meanwhile looks again first, since what was freed may be enough for both. */
  private async make(
    choose: (idle: readonly IdleImageCopy[]) => readonly IdleImageCopy[] | undefined,
  ): Promise<RoomMade> {
    if (this.underWay !== undefined) {
      const { isMade } = await this.underWay;
      if (isMade) return { ...TRY_AGAIN, isForOther: true };
      return this.make(choose);
    }
    this.underWay = this.evict(choose).finally(() => {
      this.underWay = undefined;
    });
    return this.underWay;
  }

  /** Without an answer from the image service there is no more room than there was. */
  private async evict(
    choose: (idle: readonly IdleImageCopy[]) => readonly IdleImageCopy[] | undefined,
  ): Promise<RoomMade> {
    const { client, log } = this;
    try {
      const { copies: idle } = await client.request(
        'internal.image.idle-copies',
        {},
        { timeoutMs: LIST_TIMEOUT_MS },
      );
      const chosen = choose(idle) ?? [];
      if (chosen.length === 0) return { ...NO_ROOM_MADE, idle };
      const copies = chosen.map(({ image, node, disk }) => ({ image, node, disk }));
      const { evicted } = await client.request(
        'internal.image.evict-copies',
        { copies },
        { timeoutMs: EVICT_TIMEOUT_MS },
      );
      log.info('copies of images were evicted for room', { wanted: copies.length, evicted });
      return { ...NO_ROOM_MADE, isMade: evicted > 0, idle };
    } catch (error) {
      log.warn('copies of images were not evicted for room', { error });
      return NO_ROOM_MADE;
    }
  }
}
