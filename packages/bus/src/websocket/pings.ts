import type { WebSocket } from 'ws';

/**
 * Answers a peer's pings with at most one pong in flight. Of the pings that arrive meanwhile only the last is answered,
 * as RFC 6455, 5.5.3 permits, so that a peer that sends many and reads nothing cannot grow a queue.
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
    // A copy: the received data is a slice of a larger buffer.
    else last = Buffer.from(data);
  });
}
