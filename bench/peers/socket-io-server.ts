/** A Socket.IO room for each channel: every envelope is stamped and emitted to its room, except to its sender. */
import { createServer } from 'node:http';
import { Server } from 'socket.io';

const http = createServer();
const io = new Server(http, { transports: ['websocket'], serveClient: false });
let sequence = 0;

io.on('connection', (socket) => {
  socket.on('join', (channel: string, done: () => void) => {
    socket.join(channel);
    done();
  });
  socket.on('publish', (envelope: Record<string, unknown>) => {
    socket.to(String(envelope.channel)).emit('event', {
      ...envelope,
      from: socket.id,
      timestamp: new Date().toISOString(),
      metadata: { sequence: ++sequence },
    });
  });
});

http.listen(Number(process.env.PORT), '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
