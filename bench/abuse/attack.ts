import { setTimeout as pause } from 'node:timers/promises';
import { token } from '../../test/fixtures/tokens.ts';
import type { BusProcess, ServeOptions } from './arena.ts';
import type { Client, ClientOptions, Told } from './client.ts';

/** What an attack is given: the bus, and where it notes what it was told. */
export interface Field {
  readonly bus: BusProcess;
  readonly told: Told;
  /** Opens a client of the attack; it is cut at its end. */
  open(options?: ClientOptions): Promise<Client>;
  /** Whether the time of the attack is over. */
  isOver(): boolean;
}

export interface Attack {
  readonly name: string;
  /** As the table calls it. */
  readonly title: string;
  /** The most resident memory that the bus may have meanwhile, in MiB. */
  readonly maxRssMib: number;
  readonly stage: () => Promise<Stage>;
}

/** One run of an attack. */
interface Stage {
  readonly serve: ServeOptions;
  /** The working client's token; null on a bus that asks for none. */
  readonly witness: string | null;
  /** Makes what has to be there before; the working client does not watch it yet. */
  readonly prepare?: (field: Field) => Promise<void>;
  /** The attack; resolves with one sentence on every further thing that did not hold. */
  readonly run: (field: Field) => Promise<readonly string[]>;
  readonly close?: () => void;
}

/** A token of the tenant's user `sub`. */
export const user = (sub: string): Promise<string> => token({ sub, role: 'user' });

/** Looks again and again until `holds`, or the attack's time is over. */
export async function until(field: Pick<Field, 'isOver'>, holds: () => boolean | Promise<boolean>): Promise<boolean> {
  while (!field.isOver()) {
    if (await holds()) return true;
    await pause(50);
  }
  return holds();
}

/** One sentence for each of these that does not hold. */
export function unmet(demands: Readonly<Record<string, boolean>>): string[] {
  return Object.entries(demands).flatMap(([what, holds]) => (holds ? [] : [what]));
}

/** Sends `count` envelopes without waiting for answers, as fast as the bus takes them. */
export async function flood(
  field: Field,
  client: Client,
  count: number,
  send: (index: number) => void,
  maxUnsentBytes = 2_097_152,
): Promise<number> {
  let sent = 0;
  for (; sent < count && client.isOpen && !field.isOver(); sent += 1) {
    send(sent);
    if (client.unsent > maxUnsentBytes) await until(field, () => client.unsent < maxUnsentBytes / 2 || !client.isOpen);
  }
  return sent;
}
