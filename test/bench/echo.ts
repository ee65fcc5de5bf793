import { connectNats, readBusAccess } from '@lariat/messaging';

/** The other end of the bare request: a process of its own, as a service is. */
const [, , servers = ''] = process.argv;
const connection = await connectNats({
  ...{ servers, name: 'bench-echo', role: { kind: 'admin' } },
  access: readBusAccess(),
});
connection.subscribe('bench.echo', {
  queue: 'bench',
  callback: (error, message) => {
    if (error === null) message.respond(message.data);
  },
});
await connection.flush();
process.stdout.write('ready\n');
