import { plainHost } from '../../outbound/destination.ts';

interface Host {
  open: number;
  /** In the order they came; calling one gives it the place. */
  readonly waiting: Set<() => void>;
}

/** How many posts one destination gets at the same time, over all rules of all tenants; the others wait their turn. */
export class HostSlots {
  /** Of each destination; fewer than are under way hold when those have ended. */
  max: number;
  private readonly hosts: Map<string, Host> = new Map();

  constructor(max: number) {
    this.max = max;
  }

  /** Posts that wait for a place. */
  get waiting(): number {
    let count = 0;
    for (const { waiting } of this.hosts.values()) count += waiting.size;
    return count;
  }

  /** Resolves with the way to give the place back, to be called once; with null when `stop` aborts before there is one. */
  async acquire(url: URL, stop: AbortSignal): Promise<(() => void) | null> {
    if (stop.aborted) return null;
    const key = hostKey(url);
    const host = this.hosts.get(key) ?? { open: 0, waiting: new Set() };
    this.hosts.set(key, host);
    if (host.open < this.max) host.open += 1;
    else if (!(await handedOver(host.waiting, stop))) return null;
    return () => this.release(key, host);
  }

  /** A place that somebody waits for is handed over, so that nobody who comes now is faster. */
  private release(key: string, host: Host): void {
    const [next] = host.waiting;
    if (next !== undefined) {
      next();
      return;
    }
    host.open -= 1;
    if (host.open === 0) this.hosts.delete(key);
  }
}

/** Where a URL's connections go, in one spelling: name or address, and port. */
export function hostKey({ hostname, port, protocol }: URL): string {
  return `${plainHost(hostname)}:${port === '' ? (protocol === 'https:' ? 443 : 80) : port}`;
}

/** Waits for a place; false when `stop` aborts first. */
function handedOver(waiting: Set<() => void>, stop: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (isHandedOver: boolean): void => {
      waiting.delete(take);
      stop.removeEventListener('abort', leave);
      resolve(isHandedOver);
    };
    const take = (): void => end(true);
    const leave = (): void => end(false);
    waiting.add(take);
    stop.addEventListener('abort', leave, { once: true });
  });
}
