import type { Worker } from 'node:cluster';

/** What this process sends to a worker with a new connection, and the worker's reply once it has accepted it. */
interface Passed {
  readonly act?: unknown;
  readonly seq?: unknown;
}

interface Handle {
  close(): void;
}

/**
 * Closes connections that were being handed to a worker when it died. `node:cluster` keeps the handle until the worker
 * acknowledges it, which a dead worker never does: the client would wait forever, and the connection would stay open in
 * this process.
 */
export function endWhatIsOnItsWay({ process: child }: Worker): void {
  const underWay = new Map<unknown, Handle>();
  const send = child.send.bind(child) as (...all: unknown[]) => boolean;
  child.send = (...all: unknown[]): boolean => {
    const [message, handle] = all as [Passed, Handle | undefined];
    if (message?.act === 'newconn' && handle !== undefined) underWay.set(message.seq, handle);
    return send(...all);
  };
  child.on('internalMessage', ({ ack }: { readonly ack?: unknown }) => {
    underWay.delete(ack);
  });
  child.once('exit', () => {
    for (const handle of underWay.values()) handle.close();
    underWay.clear();
  });
}
