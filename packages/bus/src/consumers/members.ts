import type { Ledger } from './ledger.ts';

/** UTF-16 units of envelopes that one member may have unacknowledged, however large its prefetch: one is always given. */
const MAX_HELD = 1_048_576;

/** Someone who takes a group's events: a client, a part of this program, or one of these on another node. */
export interface Member {
  readonly id: string;
  readonly node: string;
  readonly subject: string | null;
  /** How many events it takes before it has answered for the first. */
  readonly prefetch: number;
  /** Hands an envelope over; must neither throw nor wait. */
  send(text: string): void;
}

/** Who is there to take a group's events, and who is next. */
export class Members {
  private readonly ledger: Ledger;
  private readonly byId: Map<string, Member> = new Map();
  private list: readonly Member[] = [];
  /** Where the next look begins, so that equally busy members take turns. */
  private turn = 0;

  constructor(ledger: Ledger) {
    this.ledger = ledger;
  }

  get size(): number {
    return this.list.length;
  }

  get all(): readonly Member[] {
    return this.list;
  }

  find(id: string): Member | undefined {
    return this.byId.get(id);
  }

  add(member: Member): void {
    this.byId.set(member.id, member);
    this.list = [...this.byId.values()];
  }

  remove(id: string): boolean {
    if (!this.byId.delete(id)) return false;
    this.list = [...this.byId.values()];
    return true;
  }

  /** How many more events a member takes now. */
  credit({ id, prefetch }: Member): number {
    const { entries, length } = this.ledger.holding(id);
    return length >= MAX_HELD ? 0 : Math.max(0, prefetch - entries.size);
  }

  /** The same of all members together. */
  get totalCredit(): number {
    let total = 0;
    for (const member of this.list) total += this.credit(member);
    return total;
  }

  /** The least busy member that takes one more; undefined when none does. */
  leastBusy(): Member | undefined {
    const { list } = this;
    let best: Member | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (let step = 0; step < list.length; step += 1) {
      const member = list[(this.turn + step) % list.length] as Member;
      const busy = this.ledger.holding(member.id).entries.size;
      if (busy >= least || this.credit(member) === 0) continue;
      best = member;
      least = busy;
      if (busy === 0) break;
    }
    this.turn += 1;
    return best;
  }

  /** Hands a text to one member, without a lease; false when there is none. */
  handLive(text: string): boolean {
    const member = this.anyone();
    member?.send(text);
    return member !== undefined;
  }

  /** The least busy member, whether it takes one more or not. */
  private anyone(): Member | undefined {
    const { list } = this;
    const busy = ({ id }: Member): number => this.ledger.holding(id).entries.size;
    this.turn += 1;
    const turned = list.map((_, step) => list[(this.turn + step) % list.length] as Member);
    return turned.reduce<Member | undefined>(
      (best, member) => (best !== undefined && busy(best) <= busy(member) ? best : member),
      undefined,
    );
  }

  /**
   * The member that a key belongs to, busy or not: the one with the highest hash of both, so that a member which comes
   * or goes moves only its own keys.
   */
  ownerOf(key: string): Member | undefined {
    let best: Member | undefined;
    let highest = -1;
    for (const member of this.list) {
      const score = hash(`${member.id} ${key}`);
      if (score <= highest) continue;
      best = member;
      highest = score;
    }
    return best;
  }
}

/** FNV-1a with a final mix: cheap, and even enough to spread keys. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  value = Math.imul(value ^ (value >>> 16), 0x45d9f3b);
  value = Math.imul(value ^ (value >>> 16), 0x45d9f3b);
  return (value ^ (value >>> 16)) >>> 0;
}
