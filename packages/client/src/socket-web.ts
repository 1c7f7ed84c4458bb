import type { OpenSocket, SocketEnd } from './socket.ts';

/**
 * The platform's WebSocket: browsers, Deno, Bun, workers. It cannot send headers, so the token is sent as a subprotocol
 * entry (PROTOCOL section 1).
 */
export const openSocket: OpenSocket = ({ url, protocols, token }, events) => {
  const socket = new WebSocket(url, token === undefined ? [...protocols] : [...protocols, `bearer.${token}`]);
  let opened = false;
  let over = false;
  const end = (code: number, reason: string): void => {
    if (over) return;
    over = true;
    const ending: SocketEnd = { code, reason, opaque: !opened };
    events.ended(ending);
  };
  socket.onopen = () => {
    opened = true;
  };
  socket.onmessage = ({ data }) => {
    events.alive();
    if (typeof data === 'string') events.message(data);
  };
  socket.onclose = ({ code, reason }) => end(code, reason);
  return {
    get bufferedAmount() {
      return socket.bufferedAmount;
    },
    send: (text) => socket.send(text),
    close: (code) => socket.close(code),
    terminate: () => {
      // A browser drops a dead connection only after the closing handshake times out; for this client it ends now.
      socket.close();
      queueMicrotask(() => end(1006, ''));
    },
  };
};
