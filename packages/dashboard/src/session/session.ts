import { ArqonBusClient, ArqonBusError, eventStreamAt } from '@arqonbus/client';
import type { CommandArgs, CommandName, CommandResult, Welcome } from '@arqonbus/protocol';
import { signal } from '@preact/signals';
import { BASE } from './base.ts';
import { type Credentials, credentials, forget, headersOf, keep } from './credentials.ts';
import { ask } from './http.ts';

/** The state of the page: `asking` shows the sign-in form, `away` is reconnecting. */
export type Phase = 'starting' | 'asking' | 'connecting' | 'open' | 'away';

export const phase = signal<Phase>('starting');
export const welcome = signal<Welcome | null>(null);
/** The error message of the sign-in form. */
export const refusal = signal('');
/** The client of this session; replaced with each sign-in. */
export const client = signal<ArqonBusClient | null>(null);
/** Number of reconnects: earlier data may be outdated. */
export const reconnects = signal(0);

/** Messages for refused credentials, by kind. */
const NOT_TAKEN: Readonly<Record<Credentials['kind'], string>> = {
  none: 'This bus asks who you are: give a token or the API key.',
  token: 'The bus does not accept this token. It may have expired, be incomplete, or be signed with another key.',
  key: 'This is not the API key of the bus.',
};

const RANKS: Readonly<Record<string, number>> = { guest: 0, user: 1, admin: 2 };
const roles = signal<ReadonlyMap<string, string>>(new Map());

/** Whether the session's role may call a command, according to the server's list. */
export function may(command: CommandName): boolean {
  const needed = roles.value.get(command);
  return needed !== undefined && isAtLeast(needed);
}

/** Whether the session's role is at least this one. */
export function isAtLeast(role: string): boolean {
  return (RANKS[welcome.value?.role ?? ''] ?? -1) >= (RANKS[role] ?? Number.POSITIVE_INFINITY);
}

/** Starts with the stored credentials, or without any; shows the sign-in form if they are refused. */
export function begin(): void {
  const { kind } = credentials.value;
  void open().catch((error) => {
    if (!isUnauthorized(error)) askAgain(sentenceOf(error));
    else askAgain(kind === 'none' ? '' : NOT_TAKEN[kind]);
  });
}

/** Signs in; on failure, the form shows the reason. */
export async function signIn(given: Credentials, stay: boolean): Promise<void> {
  keep(given, stay);
  refusal.value = '';
  try {
    await open();
  } catch (error) {
    askAgain(isUnauthorized(error) ? NOT_TAKEN[given.kind] : sentenceOf(error));
  }
}

/** Storage key for the name used without authentication. */
const NAME = 'arqonbus.name';

/** Reconnects under a name: without authentication, this allows receiving requests and mail. */
export async function callOneself(name: string): Promise<void> {
  const { value: before } = client;
  await open(name);
  if (name === '') localStorage.removeItem(NAME);
  else localStorage.setItem(NAME, name);
  await before?.close();
}

export async function signOut(): Promise<void> {
  const leaving = client.value;
  askAgain('');
  await leaving?.close();
}

function askAgain(sentence: string): void {
  forget();
  credentials.value = { kind: 'none' };
  client.value = null;
  welcome.value = null;
  refusal.value = sentence;
  phase.value = 'asking';
}

async function open(name = localStorage.getItem(NAME) ?? ''): Promise<void> {
  const { value: given } = credentials;
  if (client.value === null) phase.value = 'connecting';
  const opened = new ArqonBusClient({
    url: BASE,
    // Uses the page's own origin, so that no other port must be reachable, and a proxy may add a prefix.
    socket: eventStreamAt(BASE),
    headers: given.kind === 'key' ? headersOf(given) : {},
    ...(given.kind === 'token' ? { token: given.secret } : {}),
    ...(given.kind === 'none' && name !== '' ? { subject: name } : {}),
    clientType: 'dashboard',
    screenName: 'Dashboard',
    reconnect: { baseMs: 250, maxMs: 5_000 },
  });
  opened.on('welcome', (greeting) => {
    if (client.value === opened) reconnects.value += 1;
    welcome.value = greeting;
  });
  opened.on('state', ({ state }) => {
    if (client.value !== opened) return;
    if (state === 'open') phase.value = 'open';
    else if (state === 'reconnecting') phase.value = 'away';
  });
  opened.on('error', (error) => {
    if (client.value === opened && opened.state === 'closed') askAgain(error.message);
  });
  try {
    await opened.connect();
    const { commands } = await opened.command('help', {});
    roles.value = new Map(commands.map(({ name, role }) => [name, role]));
  } catch (error) {
    await opened.close();
    throw error;
  }
  client.value = opened;
  phase.value = 'open';
}

/** Runs a command of the protocol. Rejects with the server's refusal. */
export function command<N extends CommandName>(name: N, args: CommandArgs<N>): Promise<CommandResult<N>> {
  const { value: now } = client;
  if (now === null) return Promise.reject(new ArqonBusError('NOT_CONNECTED', 'There is no session.'));
  const call = now.command.bind(now) as (name: N, args: CommandArgs<N>) => Promise<CommandResult<N>>;
  return call(name, args);
}

/** Closes a client's connection. */
export function disconnect(id: string): Promise<unknown> {
  return ask(`v1/clients/${encodeURIComponent(id)}/disconnect`, {});
}

function isUnauthorized(error: unknown): boolean {
  return error instanceof ArqonBusError && error.code === 'AUTHENTICATION_FAILED';
}

/** One sentence that a person can act on. */
export function sentenceOf(error: unknown): string {
  if (error instanceof TypeError) return 'The server does not answer. Is it running, and is this the right address?';
  return error instanceof Error ? error.message : String(error);
}
