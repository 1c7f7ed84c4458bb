import type { Ledger } from './ledger.ts';

/** UTF-16 units of envelopes that one member may have unacknowledged, however large its prefetch: one is always given. */
const MAX_HELD = 1_048_576;

/** Leases that a silent member let end, by which it is known when it answers for one after all: the last so many. */
const MAX_ENDED = 64;

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
  /** Members that let a lease end and have not said a word since, with the tokens of such leases. */
  private readonly silent: Map<string, Set<string>> = new Map();
  /** Those that events are handed to. */
  private takers: readonly Member[] = [];
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
    this.refresh();
  }

  remove(id: string): boolean {
    if (!this.byId.delete(id)) return false;
    this.silent.delete(id);
    this.refresh();
    return true;
  }

  /**
   * A member has let a lease end: it may be frozen. While others are there it gets nothing more, since the least busy of
   * all would get the same events again until they have had all their attempts.
   */
  silence(id: string, token: string): void {
    if (!this.byId.has(id)) return;
    const ended = this.silent.get(id) ?? new Set<string>();
    const [oldest] = ended;
    if (ended.size >= MAX_ENDED && oldest !== undefined) ended.delete(oldest);
    ended.add(token);
    this.silent.set(id, ended);
    this.refresh();
  }

  /** An answer came: for a lease of `holder`, or too late for one that nobody holds. Its member is there. */
  heard(token: string, holder: string | undefined): void {
    if (this.silent.size === 0) return;
    const id = holder ?? [...this.silent].find(([, ended]) => ended.has(token))?.[0];
    if (id !== undefined && this.silent.delete(id)) this.refresh();
  }

  /** How many more events a member takes now. */
  credit({ id, prefetch }: Member): number {
    const { entries, length } = this.ledger.holding(id);
    return length >= MAX_HELD ? 0 : Math.max(0, prefetch - entries.size);
  }

  /** The same of all together that events are handed to. */
  get totalCredit(): number {
    let total = 0;
    for (const member of this.takers) total += this.credit(member);
    return total;
  }

  /** The least busy member that takes one more; undefined when none does. */
  leastBusy(): Member | undefined {
    const { takers } = this;
    let best: Member | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (let step = 0; step < takers.length; step += 1) {
      const member = takers[(this.turn + step) % takers.length] as Member;
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
    for (const member of this.takers) {
      const score = hash(`${member.id} ${key}`);
      if (score <= highest) continue;
      best = member;
      highest = score;
    }
    return best;
  }

  private refresh(): void {
    this.list = [...this.byId.values()];
    const awake = this.list.filter(({ id }) => !this.silent.has(id));
    this.takers = awake.length > 0 ? awake : this.list;
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
