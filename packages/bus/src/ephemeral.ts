import { BusError, type Draft, type Envelope, IDEMPOTENCE_WINDOW_MS, sealUnstored } from '@arqonbus/protocol';
import { andThen } from './awaitable.ts';
import {
  type Awaitable,
  type NodeMessage,
  type Presence,
  type Published,
  type StreamAddress,
  type StreamEvent,
  streamKey,
} from './engine/engine.ts';
import { RecentIds } from './engine/recent-ids.ts';

/** How many events pass between two cleanups of expired ids. */
const SWEEP_EVERY = 1_024;

export interface EphemeralParts {
  /** Delivers an event to this node's members; returns the number of connections that got it. */
  readonly deliver: (event: StreamEvent) => number;
  /** The transport to the other nodes; null when there are none. */
  readonly presence: Presence | null;
}

/**
 * Live-only events (`options.ephemeral`): delivered to connected clients on any node, without a sequence and without
 * storage. They bypass the engine's streams. An id sent again within 120 s over the same node is not delivered again.
 */
export class Ephemeral {
  private readonly parts: EphemeralParts;
  private readonly recent: RecentIds = new RecentIds(performance.now());
  private count = 0;

  constructor(parts: EphemeralParts) {
    this.parts = parts;
  }

  /** Sends one event; resolves once it is also sent to the other nodes. */
  send(stream: StreamAddress, draft: Draft, identity: string): Awaitable<Published> {
    const { id, from, open } = draft;
    const answer = { sequence: 0, epoch: '', stored: 'none', delivered: 0, duplicate: true } as const;
    if (!this.isFirst(`${streamKey(stream)} ${identity}`, id)) return answer;
    const text = sealUnstored(open);
    const delivered = this.parts.deliver({ stream, sequence: 0, id, from, text });
    return andThen(this.tellOthers(stream, text), () => ({ ...answer, delivered, duplicate: false }));
  }

  /** Delivers an event from another node. */
  receive({ tenant, room = '', channel = '', text }: NodeMessage): void {
    const { id, from } = JSON.parse(text) as Envelope;
    this.parts.deliver({ stream: { tenant, room, channel }, sequence: 0, id, from, text });
  }

  private tellOthers({ tenant, room, channel }: StreamAddress, text: string): Awaitable<void> {
    const { presence } = this.parts;
    if (presence === null) return undefined;
    const missed = (error: unknown): void => {
      // A node that is cut off misses live events; the storage outage is already reported.
      if (!(error instanceof BusError && error.code === 'STORAGE_UNAVAILABLE')) throw error;
    };
    return andThen(presence.send(null, { kind: 'event', tenant, clients: [], text, room, channel }), () => {}, missed);
  }

  private isFirst(sender: string, id: string): boolean {
    const now = performance.now();
    this.count += 1;
    if (this.count % SWEEP_EVERY === 0) this.recent.sweep(now);
    return this.recent.claim(0, sender, id, 0, now, IDEMPOTENCE_WINDOW_MS) < 0;
  }
}
