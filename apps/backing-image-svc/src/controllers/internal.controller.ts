import {
  EnsureImageCopiesRequest,
  EvictImageCopiesRequest,
  ForgetNodeRequest,
  IdleImageCopiesRequest,
  type IdleImageCopy,
  type ImageRecord,
  ImageRecordRequest,
  LeaveDiskRequest,
  RecoverImagesRequest,
  type RecoveredImages,
  hasCode,
  lariatError,
} from '@lariat/contracts';
import { LariatError, delay, toLariatError } from '@lariat/kernel';
import { MessageContext, OnRequest } from '@lariat/messaging';
import { Controller, Inject } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { imageNotFound } from '../adapters/image-store.js';
import { leaveDisk } from '../app/leave-disk.js';
import { recoverImages } from '../app/recover-images.js';
import { IMAGE_SERVICE, type ImageService } from '../app-tokens.js';
import { imageNotReady } from '../domain/apply-change.js';
import { copiesToForget } from '../domain/copies-to-forget.js';

/** As long as a copy of the largest image may take; whoever asks waits with a deadline of its own. */
const SPREAD_TIMEOUT_MS = 12 * 3_600_000;

/** Longer than a node that answers takes to delete a copy. */
const GIVEN_UP_WITHIN_MS = 20_000;
const LOOK_EVERY_MS = 100;

/** Requests of Lariat's other parts. */
@Controller()
export class InternalController {
  constructor(@Inject(IMAGE_SERVICE) private readonly service: ImageService) {}

  @OnRequest('internal.image.record')
  async record(@Payload() { image, fresh }: ImageRecordRequest): Promise<ImageRecord> {
    const record = await this.service.images.find(image);
    if (fresh !== true) return record;
    const read = await this.service.images.read(record.id);
    if (read === undefined) throw imageNotFound(image);
    return read;
  }

  @OnRequest('internal.image.ensure-copies')
  async ensureCopies(
    @Payload() request: EnsureImageCopiesRequest,
    @Ctx() { facts }: MessageContext,
  ): Promise<{ ready: true }> {
    const { images, clock } = this.service;
    const found = await images.find(request.image);
    const disks = request.disks.map(({ disk }) => disk);
    const at = new Date(clock.nowMs()).toISOString();
    const want = { type: 'want-copies', disks, at } as const;
    // The state is looked at on the record that is changed: one that is being deleted gets no more users.
    const record = await images.change(
      found.id,
      (current) => {
        if (current.state !== 'ready') throw imageNotReady(current, `is ${current.state}`);
        return [want];
      },
      facts.actor,
    );
    const missing = request.disks.filter(
      ({ disk }) => !record.copies.some((copy) => copy.disk === disk && copy.state === 'ready'),
    );
    await Promise.all(missing.map((place) => this.spread(record, place, facts.actor)));
    return { ready: true };
  }

  @OnRequest('internal.image.recover')
  recover(
    @Payload() request: RecoverImagesRequest,
    @Ctx() { facts }: MessageContext,
  ): Promise<RecoveredImages> {
    const { images, client, commands, clock } = this.service;
    return recoverImages({ images, client, commands, clock, actor: facts.actor }, request);
  }

  @OnRequest('internal.image.idle-copies')
  async idleCopies(
    @Payload() _request: IdleImageCopiesRequest,
  ): Promise<{ copies: readonly IdleImageCopy[] }> {
    return { copies: await this.service.eviction.idle() };
  }

  @OnRequest('internal.image.evict-copies')
  async evictCopies(@Payload() { copies }: EvictImageCopiesRequest): Promise<{ evicted: number }> {
    return { evicted: await this.service.eviction.evict(copies, 'its disk has no room left') };
  }

  @OnRequest('internal.image.leave-disk')
  async leaveDisk(
    @Payload() request: LeaveDiskRequest,
    @Ctx() { facts }: MessageContext,
  ): Promise<Readonly<Record<string, never>>> {
    await leaveDisk(this.service, request, facts.actor);
    return {};
  }

  @OnRequest('internal.image.forget-node')
  async forgetNode(
    @Payload() { node }: ForgetNodeRequest,
    @Ctx() { facts }: MessageContext,
  ): Promise<{ lastCopies: readonly string[] }> {
    const { images } = this.service;
    const reason = `node '${node}' was removed`;
    const lastCopies: string[] = [];
    for (const { id, name, copies } of images.list()) {
      if (!copies.some((copy) => copy.node === node)) continue;
      // Decided on the very record that is changed: the other copies may have gone meanwhile.
      const record = await images.change(
        id,
        (current) =>
          copiesToForget(current, node).map((disk) => ({ type: 'drop-copy', disk, reason })),
        facts.actor,
      );
      if (record.copies.some((copy) => copy.node === node && copy.state === 'ready'))
        lastCopies.push(name);
    }
    return { lastCopies };
  }

  /** A copy that is just being evicted is fetched anew when it is gone; whoever asked did not know. */
  private async whenGivenUp(image: string, disk: string): Promise<void> {
    const { images, clock } = this.service;
    const deadlineMs = clock.monotonicMs() + GIVEN_UP_WITHIN_MS;
    while (clock.monotonicMs() < deadlineMs) {
      const copies = (await images.read(image))?.copies ?? [];
      if (!copies.some((copy) => copy.disk === disk && copy.state === 'deleting')) return;
      await delay(LOOK_EVERY_MS);
    }
  }

  /** Joins the operation that does it already. */
  private async spread(
    { id: image, name }: ImageRecord,
    { node, disk }: { readonly node: string; readonly disk: string },
    actor: string,
  ): Promise<void> {
    const { runner } = this.service;
    const input = { image, node, disk };
    await this.whenGivenUp(image, disk);
    try {
      const started = await runner.start({
        ...{ kind: 'image.spread', input, actor, requestId: undefined },
      });
      const { error } = await runner.wait(started.id, SPREAD_TIMEOUT_MS);
      if (error !== null) throw LariatError.fromRecord(error);
    } catch (reason) {
      if (hasCode(reason, 'IMAGE_NOT_READY', 'IMAGE_NOT_FOUND', 'IMAGE_COPY_FAILED', 'NO_CAPACITY'))
        throw reason;
      const { code, message } = toLariatError(reason);
      throw lariatError(
        'IMAGE_COPY_FAILED',
        `Image '${name}' could not be copied to disk ${disk} of node '${node}': ${message}`,
        { image, node, disk, code },
        reason,
      );
    }
  }
}
