import { BusError, type Metadata } from '@arqonbus/protocol';

/** Most messages with a cause remembered per tenant, and most tenants with such messages. */
const MAX_LINKS = 10_000;
const MAX_TENANTS = 100;
/** Most ids in a refusal's `chain`, latest first: enough for a whole chain at the default limit (64). */
const MAX_TOLD = 65;
/** The end of an envelope with a cause, which only the server writes. */
const TAIL =
  /[,{]"hops":(\d{1,4})(?:,"sequence":\d+,"epoch":"[\w-]*")?(?:,"(?:retained|replayed)":true)*(?:,"delivery":\{[^{}]*\})?\}\}$/;
const TAIL_LENGTH = 500;

/** The position of a message in its chain of causes. */
export interface Step {
  readonly hops: number;
  /** The cause with the higher hop count. */
  readonly parent: string;
}

/** The fields of a message that name its causes. */
interface Caused {
  readonly id: string;
  readonly metadata?: Metadata | undefined;
  readonly requestId?: string | undefined;
}

/**
 * Counts how many messages led to a message, each caused by the one before (`causal_parent_id`, `request_id`), to stop
 * programs that answer each other endlessly. Only messages with a cause are remembered; the envelope carries the count
 * (`metadata.hops`) to other nodes.
 */
export class Hops {
  /** The longest chain where no rule says otherwise. */
  limit: number;
  /** By tenant and id; the oldest of both are evicted first. */
  private readonly tenants: Map<string, Map<string, Step>> = new Map();

  /** @param limit the longest chain where no rule says otherwise */
  constructor(limit: number) {
    this.limit = limit;
  }

  /** Null for a message without a cause. Throws LOOP_DETECTED when the chain is too long. */
  count(tenant: string, message: Caused, limitOf: () => number | null): Step | null {
    const { metadata, requestId } = message;
    const cause = metadata?.causal_parent_id;
    if (cause === undefined && requestId === undefined) return null;
    const links = this.tenants.get(tenant);
    const [one, other] = [links?.get(cause ?? '')?.hops ?? 0, links?.get(requestId ?? '')?.hops ?? 0];
    const parent = (other > one || cause === undefined ? requestId : cause) as string;
    const hops = Math.max(one, other) + 1;
    const limit = limitOf() ?? this.limit;
    if (hops > limit) throw this.loop(tenant, hops, limit, parent);
    // Recorded before sending, since receivers may answer at once.
    this.note(tenant, message.id, { hops, parent });
    return { hops, parent };
  }

  /** Records the count in an envelope that another node accepted, or this one before a restart. */
  learn(tenant: string, text: string): void {
    const [, hops] = TAIL.exec(text.slice(-TAIL_LENGTH)) ?? [];
    if (hops === undefined) return;
    const { id, metadata, request_id } = JSON.parse(text) as { id: string; metadata?: Metadata; request_id?: string };
    this.note(tenant, id, { hops: Number(hops), parent: metadata?.causal_parent_id ?? request_id ?? '' });
  }

  /** {@link learn} for a forwarded envelope: it may have been accepted elsewhere, and be answered here. */
  pass(tenant: string, text: string): string {
    this.learn(tenant, text);
    return text;
  }

  /** Messages remembered. */
  get size(): number {
    let size = 0;
    for (const links of this.tenants.values()) size += links.size;
    return size;
  }

  /** A repeated id never lowers its hop count. */
  private note(tenant: string, id: string, step: Step): void {
    let links = this.tenants.get(tenant);
    if (links === undefined) {
      if (this.tenants.size >= MAX_TENANTS) forgetOldest(this.tenants);
      links = new Map();
    } else this.tenants.delete(tenant);
    // The most recently used tenant is last.
    this.tenants.set(tenant, links);
    const known = links.get(id);
    if (known !== undefined && known.hops >= step.hops) return;
    links.delete(id);
    if (links.size >= MAX_LINKS) forgetOldest(links);
    links.set(id, step);
  }

  private loop(tenant: string, hops: number, limit: number, parent: string): BusError {
    const chain = [parent];
    const links = this.tenants.get(tenant);
    for (let at = links?.get(parent); at !== undefined && at.parent !== '' && chain.length < MAX_TOLD; ) {
      if (chain.includes(at.parent)) break;
      chain.push(at.parent);
      at = links?.get(at.parent);
    }
    return new BusError(
      'LOOP_DETECTED',
      `This would be message ${hops} of a chain, each caused by the one before, and ${limit} may follow each other. ` +
        'Two programs may be answering each other: stop one, or start over without "causal_parent_id".',
      { hops, limit, chain },
    );
  }
}

function forgetOldest(map: Map<string, unknown>): void {
  for (const key of map.keys()) {
    map.delete(key);
    return;
  }
}

/** Appends the hop count as the last server-written field of the metadata, where {@link Hops.learn} looks for it. */
export function withHops(marks: string, step: Step | null): string {
  return step === null ? marks : `${marks},"hops":${step.hops}`;
}
