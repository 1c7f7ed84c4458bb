import type { WebSocket } from 'ws';

/**
 * Answers a peer's pings with at most one pong on its way. Of those that come meanwhile only the last is answered, which
 * is all that a peer may count on (RFC 6455, 5.5.3): whoever sends many and reads nothing makes nothing grow.
 */
export function answerPings(ws: WebSocket): void {
  let isSending = false;
  let last: Buffer | null = null;
  const send = (data: Buffer): void => {
    isSending = true;
    ws.pong(data, false, sent);
  };
  const sent = (): void => {
    isSending = false;
    const data = last;
    last = null;
    if (data !== null && ws.readyState === ws.OPEN) send(data);
  };
  ws.on('ping', (data) => {
    if (!isSending) send(data);
    // A copy: what was received is a part of a longer piece.
    else last = Buffer.from(data);
  });
}
