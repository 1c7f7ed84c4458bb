import { networkOf } from '../network.ts';

/** Why a connection is refused: the server is full, or this address or subject has reached its limit. */
export type ConnectionRefusal = 'total' | 'address' | 'subject';

export interface ConnectionLimits {
  readonly maxConnections: number;
  /** 0: no separate limit. */
  readonly maxConnectionsPerAddress: number;
  /** 0: no separate limit. */
  readonly maxConnectionsPerSubject: number;
}

/** Counts connections, in total and per address and subject, against their limits. */
export class Connections {
  readonly #limits: ConnectionLimits;
  readonly #byAddress = new Map<string, number>();
  readonly #bySubject = new Map<string, number>();
  #total = 0;
  maxConnections: number;

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
    this.maxConnections = limits.maxConnections;
  }

  get total(): number {
    return this.#total;
  }

  /** Addresses with open connections; only counted when limited. */
  get addresses(): number {
    return this.#byAddress.size;
  }

  /** Why a connection of `address` would be refused; null when it would be accepted. */
  full(address: string): 'total' | 'address' | null {
    const { maxConnectionsPerAddress } = this.#limits;
    if (this.#total >= this.maxConnections) return 'total';
    const count = this.#byAddress.get(networkOf(address)) ?? 0;
    return maxConnectionsPerAddress > 0 && count >= maxConnectionsPerAddress ? 'address' : null;
  }

  /** Counts a connection of `address`, or returns why not and counts nothing. Pair a null with one {@link remove}. */
  add(address: string): 'total' | 'address' | null {
    const full = this.full(address);
    if (full !== null) return full;
    countUp(this.#byAddress, networkOf(address), this.#limits.maxConnectionsPerAddress);
    this.#total += 1;
    return null;
  }

  remove(address: string): void {
    this.#total -= 1;
    countDown(this.#byAddress, networkOf(address));
  }

  /** Counts a connection of a subject; false at its limit. Pair a true with one {@link removeSubject}. */
  addSubject(subject: string): boolean {
    return countUp(this.#bySubject, subject, this.#limits.maxConnectionsPerSubject);
  }

  removeSubject(subject: string): void {
    countDown(this.#bySubject, subject);
  }
}

function countUp(counts: Map<string, number>, key: string, limit: number): boolean {
  if (limit === 0) return true;
  const count = counts.get(key) ?? 0;
  if (count >= limit) return false;
  counts.set(key, count + 1);
  return true;
}

function countDown(counts: Map<string, number>, key: string): void {
  const count = counts.get(key);
  if (count === undefined) return;
  if (count > 1) counts.set(key, count - 1);
  else counts.delete(key);
}
