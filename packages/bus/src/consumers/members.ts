import type { Ledger } from './ledger.ts';

/** UTF-16 units of envelopes that one member may hold unacknowledged, whatever its prefetch; one event always fits. */
const MAX_HELD = 1_048_576;

/** Expired leases remembered per silent member, to recognise it by a late answer. */
const MAX_ENDED = 64;

/** A consumer of a group's events: a client, a part of this program, or one of these on another node. */
export interface Member {
  readonly id: string;
  readonly node: string;
  readonly subject: string | null;
  /** How many events it may hold unacknowledged. */
  readonly prefetch: number;
  /** Sends an envelope; must neither throw nor block. */
  send(text: string): void;
}

/** The members of a group, and which one is next. */
export class Members {
  private readonly ledger: Ledger;
  private readonly byId: Map<string, Member> = new Map();
  private list: readonly Member[] = [];
  /** Members that let a lease expire and have not answered since, with the tokens of such leases. */
  private readonly silent: Map<string, Set<string>> = new Map();
  /** Members that events are delivered to. */
  private takers: readonly Member[] = [];
  /** Where the next search begins, so that equally busy members take turns. */
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
   * A member let a lease expire: it may be frozen. While there are others it gets nothing more; as the least busy
   * member it would get the same events again until they have used all their attempts.
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

  /** An answer arrived, for a lease of `holder` or for an expired one: its member is alive. */
  heard(token: string, holder: string | undefined): void {
    if (this.silent.size === 0) return;
    const id = holder ?? [...this.silent].find(([, ended]) => ended.has(token))?.[0];
    if (id !== undefined && this.silent.delete(id)) this.refresh();
  }

  /** How many more events a member may take now. */
  credit({ id, prefetch }: Member): number {
    const { entries, length } = this.ledger.holding(id);
    return length >= MAX_HELD ? 0 : Math.max(0, prefetch - entries.size);
  }

  /** The total credit of all takers. */
  get totalCredit(): number {
    let total = 0;
    for (const member of this.takers) total += this.credit(member);
    return total;
  }

  /** The least busy member with credit; undefined when there is none. */
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

  /** Sends a text to one member, without a lease; false when there is none. */
  handLive(text: string): boolean {
    const member = this.anyone();
    member?.send(text);
    return member !== undefined;
  }

  /** The least busy member, with or without credit. */
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
   * The member that owns a key, busy or not: the one with the highest hash of both, so that a member that joins or
   * leaves moves only its own keys.
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

/** FNV-1a with a final mix: cheap, and uniform enough to spread keys. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  value = Math.imul(value ^ (value >>> 16), 0x45d9f3b);
  value = Math.imul(value ^ (value >>> 16), 0x45d9f3b);
  return (value ^ (value >>> 16)) >>> 0;
}
