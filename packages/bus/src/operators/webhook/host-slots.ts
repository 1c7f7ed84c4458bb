import { plainHost } from '../../outbound/destination.ts';

interface Host {
  open: number;
  /** In order of arrival; calling one gives it the slot. */
  readonly waiting: Set<() => void>;
}

/** Limits the concurrent posts to one destination, over all rules of all tenants; others queue. */
export class HostSlots {
  /** Limit per destination; a lower limit takes effect as running posts end. */
  max: number;
  private readonly hosts: Map<string, Host> = new Map();

  constructor(max: number) {
    this.max = max;
  }

  /** Posts that wait for a slot. */
  get waiting(): number {
    let count = 0;
    for (const { waiting } of this.hosts.values()) count += waiting.size;
    return count;
  }

  /** Resolves with a function that releases the slot, to be called once; null when `stop` aborts first. */
  async acquire(url: URL, stop: AbortSignal): Promise<(() => void) | null> {
    if (stop.aborted) return null;
    const key = hostKey(url);
    const host = this.hosts.get(key) ?? { open: 0, waiting: new Set() };
    this.hosts.set(key, host);
    if (host.open < this.max) host.open += 1;
    else if (!(await handedOver(host.waiting, stop))) return null;
    return () => this.release(key, host);
  }

  /** Passes the slot to the first one waiting, so that later callers do not overtake it. */
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

/** The destination of a URL's connections in canonical form: name or address, and port. */
export function hostKey({ hostname, port, protocol }: URL): string {
  return `${plainHost(hostname)}:${port === '' ? (protocol === 'https:' ? 443 : 80) : port}`;
}

/** Waits for a slot; false when `stop` aborts first. */
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
