import Database from 'libsql';
import type { PrivatePostgres } from '../../fixtures/private-postgres.ts';
import type { PrivateRedis } from '../../fixtures/private-redis.ts';
import type { Received } from './subscriber.ts';

/** A stream as stored, read directly from the storage. */
export interface StoredStream {
  readonly epoch: string;
  readonly events: readonly Received[];
}

export function readSqlite(path: string, room: string, channel: string): StoredStream {
  const database = new Database(path, { readonly: true });
  try {
    const stream = database
      .prepare("SELECT id, epoch FROM streams WHERE tenant = 'default' AND room = ? AND channel = ?")
      .get(room, channel) as { id: number; epoch: string };
    const rows = database
      .prepare('SELECT sequence, text FROM messages WHERE stream = ? ORDER BY sequence')
      .all(stream.id) as { sequence: number; text: string }[];
    const events = rows.map(({ sequence, text }) => ({ sequence, id: (JSON.parse(text) as { id: string }).id }));
    return { epoch: stream.epoch, events };
  } finally {
    database.close();
  }
}

/** An entry's key begins with its sequence; its body is `TAG TIME ID …`. */
export async function readRedis(redis: PrivateRedis, room: string, channel: string): Promise<StoredStream> {
  const client = redis.client();
  try {
    const standing = (await client.hget(`arqon:{default/${room}}:streams`, channel)) ?? '';
    const entries = await client.xrange(`arqon:{default/${room}}:stream:${channel}`, '-', '+');
    const events = entries.map(([key, fields]) => ({
      sequence: Number(key.split('-')[0]),
      id: String(fields[1]?.split(' ', 3)[2]),
    }));
    return { epoch: String(standing.split(' ')[1]), events };
  } finally {
    client.disconnect();
  }
}

export async function readPostgres(postgres: PrivatePostgres, room: string, channel: string): Promise<StoredStream> {
  const client = postgres.client();
  try {
    const rows = await client<{ epoch: string; sequence: number; id: string }[]>`
      SELECT s.epoch, m.sequence::integer AS sequence, m.id
      FROM arqon_streams s JOIN arqon_messages m ON m.stream = s.id
      WHERE s.tenant = 'default' AND s.room = ${room} AND s.channel = ${channel} ORDER BY m.sequence`;
    return { epoch: String(rows[0]?.epoch), events: rows.map(({ sequence, id }) => ({ sequence, id })) };
  } finally {
    await client.end();
  }
}
