import { BusError, type JsonObject } from '@arqonbus/protocol';
import type { Session } from './connection/session.ts';
import type { Awaitable, Presence } from './engine/engine.ts';

/** Changes of one message between nodes. */
const MOST_CHANGES = 200;

/** Tells other nodes of this node's clients. Without presence it does nothing. */
export class Cluster {
  private readonly presence: Presence | null;
  private readonly node: string;
  private readonly onFault: (error: unknown) => void;
  private changed: Set<Session> = new Set();
  /** By tenant: what the other nodes are to be told at the end of this turn. */
  private told: Map<string, JsonObject[]> = new Map();
  private isDue = false;
  /** What was told last, once it is on its way. */
  private tail: Promise<unknown> = Promise.resolve();
  private withdrawn: Awaitable<void>[] = [];
  private messages = 0;
  /** Names this run of the node: its messages are counted anew. */
  private readonly run: string;

  constructor(
    presence: Presence | null,
    { node, onFault }: { readonly node: string; readonly onFault: (error: unknown) => void },
    run: string,
  ) {
    this.presence = presence;
    this.node = node;
    this.onFault = onFault;
    this.run = run;
  }

  /** A client connected, changed its profile, joined or left. What changes in one turn is announced once. */
  announce(session: Session): void {
    if (this.presence === null) return;
    this.changed.add(session);
    this.soon();
  }

  withdraw(session: Session): void {
    if (this.presence === null) return;
    this.changed.delete(session);
    const done = this.settle(() => this.presence?.withdraw(session.principal.tenant, session.id));
    this.withdrawn.push(done);
    this.soon();
  }

  /**
   * Tells the other nodes of a change in who is where, with the others of this turn, in their order, and after what
   * {@link announce} and {@link withdraw} put in place: whoever reads that later misses nothing.
   */
  tell(tenant: string, change: JsonObject): void {
    if (this.presence === null) return;
    const changes = this.told.get(tenant);
    if (changes === undefined) this.told.set(tenant, [change]);
    else changes.push(change);
    this.soon();
  }

  private soon(): void {
    if (this.isDue) return;
    this.isDue = true;
    setImmediate(() => this.flush());
  }

  private flush(): void {
    const { changed, told, withdrawn } = this;
    this.isDue = false;
    this.changed = new Set();
    this.told = new Map();
    this.withdrawn = [];
    const placed = [...changed].filter(({ closed }) => !closed).map((session) => this.place(session));
    if (told.size === 0) return;
    this.tail = Promise.all([this.tail, ...withdrawn, ...placed]).then(() => {
      for (const [tenant, changes] of told) this.send(tenant, changes);
    });
  }

  private place(session: Session): Awaitable<void> {
    const { principal, id, identity } = session;
    // Without a prototype, since a room may be called "constructor".
    const channels: Record<string, string> = Object.create(null);
    const states: Record<string, unknown> = Object.create(null);
    for (const [place, membership] of session.memberships) {
      const address = `${place.room}:${place.channel}`;
      channels[address] = new Date(membership.joinedAt).toISOString();
      if (membership.state !== null) states[address] = membership.state;
    }
    const entry = {
      tenant: principal.tenant,
      clientId: id,
      subject: principal.subject,
      node: this.node,
      channels,
      identity,
      states,
      record: JSON.stringify(session.record(this.node)),
    };
    return this.settle(() => this.presence?.announce(entry));
  }

  private send(tenant: string, changes: readonly JsonObject[]): void {
    for (let at = 0; at < changes.length; at += MOST_CHANGES) {
      this.messages += 1;
      const { node, run, messages: number } = this;
      const text = JSON.stringify({ node, run, number, changes: changes.slice(at, at + MOST_CHANGES) });
      void this.settle(() => this.presence?.send(null, { kind: 'presence', tenant, clients: [], text }));
    }
  }

  private async settle(act: () => Awaitable<void> | undefined): Promise<void> {
    try {
      await act();
    } catch (error) {
      // That the storage is away is told already, and the engine announces everybody anew when it is back.
      if (!(error instanceof BusError && error.code === 'STORAGE_UNAVAILABLE')) this.onFault(error);
    }
  }
}
