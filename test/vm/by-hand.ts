import { Guest } from './guest/guest.js';
import { guestImage } from './guest/guest-image.js';

/** A guest with a shell on this terminal, until it is left with Ctrl-A X; the files named become its disks. */
const image = await guestImage();
if (typeof image === 'string') {
  process.stderr.write(`no guest: ${image}\n`);
  process.exit(1);
}
const guest = await Guest.boot(image, { console: 'shell', disks: process.argv.slice(2) });
guest.release();
const { pid, socket, folder } = guest;
process.stderr.write(`${JSON.stringify({ pid, socket, folder })}\n`);
await guest.ended();
await guest.stop();
