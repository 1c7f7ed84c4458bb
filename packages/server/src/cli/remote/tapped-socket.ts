import type { OpenSocket, SocketEnd } from '@arqonbus/client';
import { WebSocket } from 'ws';

/** Maximum bytes read from the body of a refusal. */
const MAX_REFUSAL_BYTES = 16_384;

/** Called with every text frame before the client gets it. Reading is paused until it resolves. */
export type FrameListener = (text: string) => Promise<void> | undefined;

/**
 * A client socket with additional trusted certificates, whose frames can be observed, and which reads no faster than
 * they are printed.
 */
export class TappedSocket {
  private readonly onFrame: FrameListener;
  private readonly ca: readonly string[] | undefined;
  private current: WebSocket | undefined;

  constructor(onFrame: FrameListener, ca: readonly string[] | undefined) {
    this.onFrame = onFrame;
    this.ca = ca;
  }

  /** Sends a frame on the current connection. */
  send(text: string): void {
    this.current?.send(text);
  }

  /** The client's socket option. */
  readonly open: OpenSocket = ({ url, protocols, token, headers }, events) => {
    const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const socket = new WebSocket(url, [...protocols], {
      headers: { ...headers, ...authorization },
      ...(this.ca === undefined ? {} : { ca: [...this.ca] }),
    });
    this.current = socket;
    let failure = '';
    let refused: Partial<SocketEnd> = {};
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // A name with several addresses fails with an error that has a code but no message.
      failure ||= error.message || (error.code ?? 'unknown error');
    });
    socket.on('close', (code, reason) => events.ended({ code, reason: reason.toString() || failure, ...refused }));
    socket.on('message', (data, isBinary) => {
      events.alive();
      if (isBinary) return;
      const text = data.toString();
      const room = this.onFrame(text);
      if (room !== undefined) {
        socket.pause();
        void room.then(() => socket.resume());
      }
      events.message(text);
    });
    socket.on('ping', () => events.alive());
    socket.on('pong', () => events.alive());
    socket.on('unexpected-response', (_request, response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body += body.length > MAX_REFUSAL_BYTES ? '' : chunk;
      });
      const wait = Number(response.headers['retry-after']);
      const finish = (): void => {
        refused = {
          ...readRefusal(body),
          ...(response.statusCode === undefined ? {} : { status: response.statusCode }),
          ...(wait > 0 ? { retryAfterMs: wait * 1000 } : {}),
        };
        // Leads to 'close', since this socket was never opened.
        socket.terminate();
      };
      response.on('end', finish);
      response.on('error', finish);
    });
    return {
      get bufferedAmount() {
        return socket.bufferedAmount;
      },
      send: (text) => socket.send(text),
      close: (code) => socket.close(code),
      terminate: () => socket.terminate(),
    };
  };
}

function readRefusal(body: string): Partial<SocketEnd> {
  try {
    const { error, details, error_code } = JSON.parse(body) as Readonly<Record<string, unknown>>;
    return {
      reason: [error, details].filter((part) => typeof part === 'string').join(': '),
      ...(typeof error_code === 'string' ? { errorCode: error_code } : {}),
    };
  } catch {
    return {};
  }
}
