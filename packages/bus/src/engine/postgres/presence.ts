import type { NodeMessage, NodeStatus, Presence, PresenceEntry } from '../engine.ts';
import { unavailable } from '../server-link.ts';
import type { Link } from './link.ts';
import { spelled } from './names.ts';
import type { Row, Session } from './session.ts';

const BEAT_MS = 4_000;
/** A node not heard from for this long is dead: three heartbeats, and less than the promised 15 s. */
const DEAD_MS = 12_000;
/** Clients announced per statement. */
const AT_ONCE = 500;

/** Clients of other live nodes. */
const OTHERS = `arqon_clients c JOIN arqon_nodes n ON n.node = c.node AND n.beat > arqon_now() - ${DEAD_MS}
  WHERE c.node <> $1 AND c.tenant = $2`;

/**
 * Clients and figures of the other nodes, in unlogged tables: after a server crash they are empty, and every node
 * announces its clients again. A node whose heartbeat has stopped is ignored immediately, and removed by the first node
 * that notices.
 */
export class PostgresPresence implements Presence {
  private readonly node: string;
  private readonly origin: string;
  private readonly link: Link;
  private readonly committed: () => void;
  private readonly own = new Map<string, PresenceEntry>();
  private readonly timer: NodeJS.Timeout;
  private status: NodeStatus;

  /** `committed` is called when something was sent to other nodes. */
  constructor(names: { node: string; origin: string }, link: Link, committed: () => void) {
    this.node = names.node;
    this.origin = names.origin;
    this.link = link;
    this.committed = committed;
    this.status = { node: this.node, connections: 0, connectionsTotal: 0, messagesTotal: 0, messagesPerMinute: 0 };
    this.timer = setInterval(() => this.heartbeat(), BEAT_MS);
    this.timer.unref();
  }

  /** Replaces the server's entries for this node with its current clients. */
  async establish(session: Session): Promise<void> {
    await session.query('DELETE FROM arqon_clients WHERE node = $1', [this.node]);
    await this.announceAll(session);
    await this.beat(session);
  }

  async announce(entry: PresenceEntry): Promise<void> {
    this.own.set(nameOf(entry.tenant, entry.clientId), entry);
    // Otherwise it is announced on the next connection.
    if (this.link.standing === 'away') return;
    await this.link.ask((session) => this.put(session, [entry]));
  }

  async withdraw(tenant: string, clientId: string): Promise<void> {
    if (!this.own.delete(nameOf(tenant, clientId)) || this.link.standing === 'away') return;
    await this.link.ask((session) =>
      session.query('DELETE FROM arqon_clients WHERE tenant = $1 AND client = $2 AND node = $3', [
        ...[tenant, spelled(clientId), this.node],
      ]),
    );
  }

  find(tenant: string, target: string): Promise<PresenceEntry[]> {
    const [column, name] = target.startsWith('sub:') ? ['subject', target.slice(4)] : ['client', target];
    return this.link.ask(async (session) => {
      const rows = await session.query(`SELECT c.entry FROM ${OTHERS} AND c.${column} = $3`, [
        ...[this.node, tenant, spelled(name)],
      ]);
      return rows.map(entryOf);
    });
  }

  list(tenant: string, room?: string, channel?: string): Promise<PresenceEntry[]> {
    return this.link.ask(async (session) => {
      const rows = await session.query(`SELECT c.entry FROM ${OTHERS} AND ($3::text IS NULL OR $3 = ANY (c.rooms))`, [
        ...[this.node, tenant, room ?? null],
      ]);
      const entries = rows.map(entryOf);
      return channel === undefined
        ? entries
        : entries.filter(({ channels }) => Object.hasOwn(channels, `${room}:${channel}`));
    });
  }

  async send(node: string | null, message: NodeMessage): Promise<void> {
    await this.link.ask(async (present, again) => {
      // Not repeatable: the other node could not detect a duplicate.
      if (again) throw unavailable(this.link.reason);
      await present.query('INSERT INTO arqon_signals (at, node, origin, body) VALUES (arqon_now(), $1, $2, $3)', [
        ...[node, this.origin, JSON.stringify(message)],
      ]);
    });
    this.committed();
  }

  async report(status: NodeStatus): Promise<NodeStatus[]> {
    this.status = status;
    return this.link.ask((session) => this.beat(session));
  }

  /** Removes this node: its clients are gone for the others immediately. */
  async close(): Promise<void> {
    this.stop();
    const { session } = this.link;
    if (session === null) return;
    await session.query('DELETE FROM arqon_nodes WHERE node = $1', [this.node]);
    await session.query('DELETE FROM arqon_clients WHERE node = $1', [this.node]);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private heartbeat(): void {
    const { session } = this.link;
    if (session === null) return;
    // A failure is repaired at the next heartbeat, or by the next connection.
    this.beat(session).catch(() => {});
  }

  /** Records this node's heartbeat, removes dead nodes, and returns the others' figures. */
  private async beat(session: Session): Promise<NodeStatus[]> {
    const rows = await session.query(
      `WITH before AS (SELECT beat FROM arqon_nodes WHERE node = $1), noted AS (
         INSERT INTO arqon_nodes (node, beat, status) VALUES ($1, arqon_now(), $2)
         ON CONFLICT (node) DO UPDATE SET beat = excluded.beat, status = excluded.status
       )
       SELECT node, status, beat > arqon_now() - $3::integer AS lives, (SELECT count(*) FROM before) AS known
       FROM arqon_nodes WHERE node <> $1
       UNION ALL SELECT '', '', true, (SELECT count(*) FROM before)`,
      [this.node, JSON.stringify(this.status), DEAD_MS],
    );
    if (rows.at(-1)?.known === 0) await this.announceAll(session);
    const dead = rows.filter((row) => row.lives !== true).map((row) => String(row.node));
    if (dead.length > 0) await this.bury(session, dead);
    return rows
      .filter((row) => row.lives === true && row.node !== '')
      .map((row) => JSON.parse(String(row.status)) as NodeStatus);
  }

  /** A node that was only slow finds itself unknown, and announces its clients again. */
  private async bury(session: Session, nodes: readonly string[]): Promise<void> {
    await session.query(
      `WITH dead AS (
         DELETE FROM arqon_nodes WHERE node = ANY ($1::text[]) AND beat <= arqon_now() - $2::integer RETURNING node
       )
       DELETE FROM arqon_clients WHERE node IN (SELECT node FROM dead)`,
      [nodes, DEAD_MS],
    );
  }

  private async announceAll(session: Session): Promise<void> {
    const all = [...this.own.values()];
    for (let from = 0; from < all.length; from += AT_ONCE) await this.put(session, all.slice(from, from + AT_ONCE));
  }

  private async put(session: Session, entries: readonly PresenceEntry[]): Promise<void> {
    const rows = entries.map((entry) => ({
      tenant: entry.tenant,
      client: spelled(entry.clientId),
      subject: entry.subject === null ? null : spelled(entry.subject),
      rooms: [...new Set(Object.keys(entry.channels).map((name) => name.slice(0, name.indexOf(':'))))],
      entry: JSON.stringify(entry),
    }));
    await session.query(
      `INSERT INTO arqon_clients (tenant, client, node, subject, rooms, entry)
       SELECT r.tenant, r.client, $1, r.subject, r.rooms, r.entry
       FROM json_to_recordset($2::text::json)
         r (tenant text, client text, subject text, rooms text[], entry text)
       ORDER BY 1, 2
       ON CONFLICT (tenant, client) DO UPDATE SET node = excluded.node, subject = excluded.subject,
         rooms = excluded.rooms, entry = excluded.entry`,
      [this.node, JSON.stringify(rows)],
    );
  }
}

function nameOf(tenant: string, clientId: string): string {
  return `${tenant}/${clientId}`;
}

function entryOf(row: Row): PresenceEntry {
  return JSON.parse(String(row.entry)) as PresenceEntry;
}
