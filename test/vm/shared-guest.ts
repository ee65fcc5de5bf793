import { inject } from 'vitest';
import type { TestProject } from 'vitest/node';
import { Guest } from './guest/guest.js';
import { GuestCommands } from './guest/guest-commands.js';
import { guestImage } from './guest/guest-image.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** Where the agent of the guest that all files use is reached, or why there is no guest. */
    readonly guest: { readonly socket: string } | { readonly missing: string };
  }
}

/** Boots the guest before the first file and stops it after the last. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const image = await guestImage();
  if (typeof image === 'string') {
    project.provide('guest', { missing: image });
    return () => Promise.resolve();
  }
  const guest = await Guest.boot(image);
  guest.release();
  project.provide('guest', { socket: guest.socket });
  return () => guest.stop();
}

/** Why there is no guest; undefined where there is one. */
export function whyNoGuest(): string | undefined {
  const guest = inject('guest');
  return 'missing' in guest ? guest.missing : undefined;
}

export function openSharedGuest(): Promise<GuestCommands> {
  const guest = inject('guest');
  if ('missing' in guest) throw new Error(guest.missing);
  return GuestCommands.open(guest.socket);
}
