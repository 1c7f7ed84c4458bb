import type { Worker } from 'node:cluster';

/** What this process sends to a worker with a new connection, and what the worker answers once it has taken it. */
interface Passed {
  readonly act?: unknown;
  readonly seq?: unknown;
}

interface Handle {
  close(): void;
}

/**
 * Ends connections that were on their way to a worker when it died. `node:cluster` waits for the worker's word before it
 * lets go of a connection, and a worker that is dead says nothing: the client would wait for an answer without end, and
 * the connection would stay open in this process.
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
