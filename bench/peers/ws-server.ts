/**
 * A simple message bus with `ws`: parse the envelope, stamp it, serialize it once, `send()` it to every other member of
 * the channel. No history, no idempotency, no limits.
 */
import { type WebSocket, WebSocketServer } from 'ws';

interface Message {
  id?: string;
  type?: string;
  command?: string;
  args?: { room?: string; channel?: string };
  room?: string;
  channel?: string;
}

const channels = new Map<string, Set<WebSocket>>();
const sequences = new Map<string, number>();
let clients = 0;

function members(channel: string): Set<WebSocket> {
  let set = channels.get(channel);
  if (set === undefined) {
    set = new Set();
    channels.set(channel, set);
  }
  return set;
}

const server = new WebSocketServer({ host: '127.0.0.1', port: Number(process.env.PORT) });

server.on('connection', (socket) => {
  const clientId = `client_${++clients}`;
  const joined = new Set<string>();
  socket.on('message', (data) => {
    const message = JSON.parse(data.toString()) as Message;
    if (message.type === 'command') {
      const channel = `${message.args?.room}:${message.args?.channel}`;
      members(channel).add(socket);
      joined.add(channel);
      socket.send(JSON.stringify({ type: 'command_response', request_id: message.id, status: 'success' }));
      return;
    }
    const channel = `${message.room}:${message.channel}`;
    const sequence = (sequences.get(channel) ?? 0) + 1;
    sequences.set(channel, sequence);
    const text = JSON.stringify({
      ...message,
      from: clientId,
      timestamp: new Date().toISOString(),
      metadata: { sequence },
    });
    for (const member of members(channel)) {
      if (member !== socket && member.readyState === member.OPEN) member.send(text);
    }
  });
  socket.on('error', () => socket.terminate());
  socket.on('close', () => {
    for (const channel of joined) channels.get(channel)?.delete(socket);
  });
  socket.send(JSON.stringify({ type: 'system', payload: { event: 'welcome', client_id: clientId } }));
});

process.on('SIGTERM', () => process.exit(0));
