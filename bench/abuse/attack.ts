import { setTimeout as pause } from 'node:timers/promises';
import { token } from '../../test/fixtures/tokens.ts';
import type { BusProcess, ServeOptions } from './arena.ts';
import type { Client, ClientOptions, Told } from './client.ts';

/** The environment of an attack: the bus, and the counts of its answers. */
export interface Field {
  readonly bus: BusProcess;
  readonly told: Told;
  /** Opens a client of the attack, which is terminated at its end. */
  open(options?: ClientOptions): Promise<Client>;
  /** Whether the time of the attack is up. */
  isOver(): boolean;
}

export interface Attack {
  readonly name: string;
  /** The title in the table. */
  readonly title: string;
  /** Maximum allowed resident memory of the bus, in MiB. */
  readonly maxRssMib: number;
  readonly stage: () => Promise<Stage>;
}

/** One run of an attack. */
interface Stage {
  readonly serve: ServeOptions;
  /** The token of the working client; null on a bus without authentication. */
  readonly witness: string | null;
  /** Preparation, which is not yet watched by the working client. */
  readonly prepare?: (field: Field) => Promise<void>;
  /** The attack; resolves with one sentence for each additional failure. */
  readonly run: (field: Field) => Promise<readonly string[]>;
  readonly close?: () => void;
}

/** A token of the user `sub`. */
export const user = (sub: string): Promise<string> => token({ sub, role: 'user' });

/** Polls until `holds`, or until the time of the attack is up. */
export async function until(field: Pick<Field, 'isOver'>, holds: () => boolean | Promise<boolean>): Promise<boolean> {
  while (!field.isOver()) {
    if (await holds()) return true;
    await pause(50);
  }
  return holds();
}

/** The conditions that do not hold, as sentences. */
export function unmet(demands: Readonly<Record<string, boolean>>): string[] {
  return Object.entries(demands).flatMap(([what, holds]) => (holds ? [] : [what]));
}

/** Sends `count` envelopes without waiting for answers, as fast as the bus accepts them. */
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
