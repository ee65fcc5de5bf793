import { GuestCommands } from './guest/guest-commands.js';

/** Carries out one command in a guest that runs: its agent's socket, a program, arguments. */
const [socket, program, ...args] = process.argv.slice(2);
if (socket === undefined || program === undefined) {
  process.stderr.write('usage: in-guest SOCKET PROGRAM [ARGUMENT...]\n');
  process.exit(2);
}
const commands = await GuestCommands.open(socket);
const { exitCode, stdout, stderr } = await commands.exec([program, ...args]);
process.stdout.write(stdout);
process.stderr.write(stderr);
commands.close();
process.exitCode = exitCode ?? 128;
