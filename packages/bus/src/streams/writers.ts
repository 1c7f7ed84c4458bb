import { encode, type Notice } from '@arqonbus/protocol';
import type { Presence } from '../engine/engine.ts';
import type { NodeCalls } from '../node-calls.ts';
import type { Rooms } from '../rooms.ts';
import type { StreamRecord } from './known.ts';

const ANSWER_MS = 2_000;

interface Told {
  readonly tenant: string;
  readonly identity: string;
  readonly notice: Notice & { readonly room: string; readonly channel: string };
}

export interface WritersParts {
  readonly rooms: Rooms;
  readonly presence: Presence | null;
  readonly calls: NodeCalls;
  readonly node: string;
}

/** The connections of a stream's writer, on all nodes. */
export class Writers {
  private readonly parts: WritersParts;

  constructor(parts: WritersParts) {
    this.parts = parts;
    parts.calls.serve('stream.tell', (told: Told) => this.tellHere(told));
  }

  /** Sends a notice to all of them; resolves with their number. */
  async tell(tenant: string, record: StreamRecord, notice: Told['notice']): Promise<number> {
    const { presence, calls, node } = this.parts;
    const { identity, sender } = record;
    const told: Told = { tenant, identity, notice };
    const nodes = new Set<string>();
    // A connection without a subject is on the node where it opened the stream, unless that has moved.
    if (presence !== null) {
      const found = await presence.find(tenant, sender.subject === undefined ? record.from : `sub:${sender.subject}`);
      for (const entry of found) nodes.add(entry.node);
      if (record.node !== '') nodes.add(record.node);
      nodes.delete(node);
    }
    const asked = [...nodes].map((other) => calls.ask(other, 'stream.tell', told, ANSWER_MS).catch(() => 0));
    const counts = (await Promise.all(asked)) as number[];
    return counts.reduce((sum, count) => sum + count, this.tellHere(told));
  }

  private tellHere({ tenant, identity, notice }: Told): number {
    const sessions = this.parts.rooms.tenants.get(tenant)?.identities.of(identity) ?? [];
    const { room, channel } = notice;
    const text = encode({ type: 'system', room, channel, payload: { ...notice } });
    for (const session of sessions) session.send(text);
    return sessions.length;
  }
}
