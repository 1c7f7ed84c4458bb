import type { Engine } from './engine/engine.ts';
import type { NodeCalls } from './node-calls.ts';
import type { Rooms } from './rooms.ts';

/** Statistics of one client's connection. All but the backlog count from when it connected. */
export interface LineFacts {
  readonly client_id: string;
  readonly node: string;
  /** Its remote address. */
  readonly address: string;
  /** Envelopes received from it. */
  readonly received: number;
  /** Envelopes sent to it, and the bytes of their frames. */
  readonly sent: number;
  readonly sent_bytes: number;
  /** Bytes waiting to be sent. */
  readonly backlog_bytes: number;
}

interface Asked {
  readonly tenant: string;
  readonly id: string;
}

/** Timeout for another node's answer, in milliseconds. */
const PATIENCE_MS = 2_000;
const CALL = 'client.line';

/** Looks up the connection statistics of clients on any node. */
export class ClientLines {
  private readonly rooms: Rooms;
  private readonly engine: Engine;
  private readonly calls: NodeCalls;
  private readonly node: string;

  constructor(rooms: Rooms, engine: Engine, calls: NodeCalls, node: string) {
    this.rooms = rooms;
    this.engine = engine;
    this.calls = calls;
    this.node = node;
    calls.serve(CALL, (asked: Asked) => this.here(asked));
  }

  /** A client's statistics; null if unknown. Rejects with STORAGE_UNAVAILABLE when its node does not answer. */
  async of(tenant: string, id: string): Promise<LineFacts | null> {
    const own = this.here({ tenant, id });
    const { presence } = this.engine;
    // An address that is not a client id may match several clients.
    if (own !== null || presence === null || id.includes(':')) return own;
    const [found] = await presence.find(tenant, id);
    if (found === undefined || found.node === this.node) return null;
    return (await this.calls.ask(found.node, CALL, { tenant, id } satisfies Asked, PATIENCE_MS)) as LineFacts | null;
  }

  private here({ tenant, id }: Asked): LineFacts | null {
    const session = this.rooms.tenants.get(tenant)?.sessions.get(id);
    if (session === undefined) return null;
    const { address, received, outbox } = session;
    const { sent, sentBytes, backlog } = outbox;
    return {
      client_id: id,
      node: this.node,
      address,
      received,
      sent,
      sent_bytes: sentBytes,
      backlog_bytes: backlog,
    };
  }
}
