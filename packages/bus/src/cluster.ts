import { BusError, type JsonObject } from '@arqonbus/protocol';
import type { Session } from './connection/session.ts';
import type { Awaitable, Presence } from './engine/engine.ts';

/** The most changes in one message between nodes. */
const MOST_CHANGES = 200;

/** Reports this node's clients to other nodes. Does nothing without presence. */
export class Cluster {
  private readonly presence: Presence | null;
  private readonly node: string;
  private readonly onFault: (error: unknown) => void;
  private changed: Set<Session> = new Set();
  /** By tenant: changes to send to the other nodes at the end of this turn. */
  private told: Map<string, JsonObject[]> = new Map();
  private isDue = false;
  /** The previous send; later ones wait for it. */
  private tail: Promise<unknown> = Promise.resolve();
  private withdrawn: Awaitable<void>[] = [];
  private messages = 0;
  /** Identifies this run of the node; message numbers start again with each run. */
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

  /** A client connected, changed its profile, joined or left. Changes of one turn are announced once. */
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
   * Reports a membership change to the other nodes, batched with the others of this turn, in order, and after the
   * updates of {@link announce} and {@link withdraw}, so that later reads include it.
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
    // No prototype, since a room may be called "constructor".
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
      // The storage outage is already reported, and the engine announces all clients again once it recovers.
      if (!(error instanceof BusError && error.code === 'STORAGE_UNAVAILABLE')) this.onFault(error);
    }
  }
}
