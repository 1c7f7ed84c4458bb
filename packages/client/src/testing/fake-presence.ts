import type { JsonObject } from '@arqonbus/protocol';
import type { FakeConnection } from './fake-connection.ts';

interface Roster {
  version: number;
  readonly members: Map<FakeConnection, JsonObject>;
}

/** The presence of a fake server; notices are sent immediately, without a grace period. */
export class FakePresence {
  readonly #rosters = new Map<string, Roster>();
  readonly #connections: readonly FakeConnection[];

  constructor(connections: readonly FakeConnection[]) {
    this.#connections = connections;
  }

  /** The member set, including the one that has just joined. */
  join(place: string, connection: FakeConnection, state: unknown): JsonObject {
    const roster = this.#rosterOf(place);
    const member = {
      client_id: connection.clientId,
      sender: { type: 'service', role: 'admin', name: connection.query.get('screen_name') ?? undefined },
      state: state ?? null,
      joined_at: '2026-01-01T00:00:00.000Z',
    };
    const isNew = !roster.members.has(connection);
    roster.members.set(connection, member);
    this.#tell(place, isNew ? { joined: [member] } : { updated: [member] }, connection);
    return { version: roster.version, members: [...roster.members.values()], count: roster.members.size };
  }

  update(place: string, connection: FakeConnection, state: unknown): JsonObject {
    const roster = this.#rosterOf(place);
    const member: JsonObject = { ...roster.members.get(connection), state };
    roster.members.set(connection, member);
    this.#tell(place, { updated: [member] });
    return { updated: true };
  }

  leave(place: string, connection: FakeConnection, cause: 'left' | 'lost'): void {
    const roster = this.#rosters.get(place);
    const member = roster?.members.get(connection);
    if (roster === undefined || member === undefined) return;
    roster.members.delete(connection);
    this.#tell(place, { left: [{ ...member, cause }] });
  }

  gone(connection: FakeConnection): void {
    for (const place of this.#rosters.keys()) this.leave(place, connection, 'lost');
  }

  /** Skips a version without a notice, as if one had been lost. */
  skip(place: string): void {
    this.#rosterOf(place).version += 1;
  }

  #tell(place: string, changes: JsonObject, but?: FakeConnection): void {
    const roster = this.#rosterOf(place);
    roster.version += 1;
    const [room = '', channel = ''] = place.split(':');
    const payload = {
      event: 'presence',
      room,
      channel,
      version: roster.version,
      members: roster.members.size,
      joined: [],
      updated: [],
      left: [],
      ...changes,
    };
    for (const connection of this.#connections) {
      const isWatching = connection.memberships.get(place)?.presence === true;
      if (isWatching && connection !== but) connection.send({ type: 'system', room, channel, payload });
    }
  }

  #rosterOf(place: string): Roster {
    const roster = this.#rosters.get(place) ?? { version: 0, members: new Map() };
    this.#rosters.set(place, roster);
    return roster;
  }
}
