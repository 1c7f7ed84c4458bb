import { BusError, type Metadata } from '@arqonbus/protocol';

/** Messages with a cause that are remembered of one tenant, and tenants of which some are. */
const MAX_LINKS = 10_000;
const MAX_TENANTS = 100;
/** Ids of a chain that a refusal tells, the last ones first: of a chain of the usual limit (64), all. */
const MAX_TOLD = 65;
/** What closes an envelope with a cause: nothing that a client writes stands there. */
const TAIL =
  /[,{]"hops":(\d{1,4})(?:,"sequence":\d+,"epoch":"[\w-]*")?(?:,"(?:retained|replayed)":true)*(?:,"delivery":\{[^{}]*\})?\}\}$/;
const TAIL_LENGTH = 500;

/** How far a message is from the first of its chain of causes. */
export interface Step {
  readonly hops: number;
  /** The cause that is farther from the first. */
  readonly parent: string;
}

/** What of a message tells its causes. */
interface Caused {
  readonly id: string;
  readonly metadata?: Metadata | undefined;
  readonly requestId?: string | undefined;
}

/**
 * Counts how many messages led to a message, each caused by the one before (`causal_parent_id`, `request_id`), so that
 * programs that answer each other without end are stopped. Only what has a cause is remembered; the envelope carries the
 * count (`metadata.hops`), and so other nodes learn it.
 */
export class Hops {
  /** The longest chain where no rule says otherwise. */
  limit: number;
  /** By tenant and id; of both the oldest go first. */
  private readonly tenants: Map<string, Map<string, Step>> = new Map();

  /** @param limit the longest chain where no rule says otherwise */
  constructor(limit: number) {
    this.limit = limit;
  }

  /** Null for a message without a cause. Throws LOOP_DETECTED for one whose chain is too long. */
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
    // Before it is sent: its receivers may answer at once.
    this.note(tenant, message.id, { hops, parent });
    return { hops, parent };
  }

  /** Takes in what an envelope tells that another node accepted, or this one before it started anew. */
  learn(tenant: string, text: string): void {
    const [, hops] = TAIL.exec(text.slice(-TAIL_LENGTH)) ?? [];
    if (hops === undefined) return;
    const { id, metadata, request_id } = JSON.parse(text) as { id: string; metadata?: Metadata; request_id?: string };
    this.note(tenant, id, { hops: Number(hops), parent: metadata?.causal_parent_id ?? request_id ?? '' });
  }

  /** {@link learn} of what is handed on: it may have been accepted elsewhere, and be answered here. */
  pass(tenant: string, text: string): string {
    this.learn(tenant, text);
    return text;
  }

  /** Messages that are remembered. */
  get size(): number {
    let size = 0;
    for (const links of this.tenants.values()) size += links.size;
    return size;
  }

  /** An id that comes again never gets nearer to the first of its chain. */
  private note(tenant: string, id: string, step: Step): void {
    let links = this.tenants.get(tenant);
    if (links === undefined) {
      if (this.tenants.size >= MAX_TENANTS) forgetOldest(this.tenants);
      links = new Map();
    } else this.tenants.delete(tenant);
    // The tenant that was used last stands at the end.
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

/** The step as the last member of what the server writes into the metadata; {@link Hops.learn} looks for it there. */
export function withHops(marks: string, step: Step | null): string {
  return step === null ? marks : `${marks},"hops":${step.hops}`;
}
