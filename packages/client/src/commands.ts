import type { CommandArgs, CommandName, CommandResult, JsonObject } from '@arqonbus/protocol';
import { type AddressInput, readPlace } from './address.ts';
import { Emitter } from './emitter.ts';
import { History, type HistoryOptions } from './history.ts';
import { given, type Identity, type Standing, standingToWire, toWire } from './options.ts';
import type { WaitOptions } from './pending.ts';
import type { Ask, AskAnything, CommandParameters } from './queue.ts';

/** Commands that may be repeated after a connection loss: they only read, or are idempotent. */
export const REPEATABLE: RegExp =
  /^(ping|help|status|identify|refresh_token|channel_info|history|stream\.list|(list|join|leave)_\w+|op\.\w+\.(get|replay|status|watch|unwatch|renew|dead_letters|list\w*))$/;

type Camel<S extends string> = S extends `${infer Head}_${infer Tail}` ? `${Head}${Capitalize<Camel<Tail>>}` : S;
type Verb<F extends string> = CommandName extends infer N ? (N extends `op.${F}.${infer V}` ? V : never) : never;

/**
 * The commands `op.FAMILY.*` as methods, with `dead_letters` as `deadLetters`; arguments and results are those of the
 * protocol. Each rejects with CommandError, TimeoutError or ConnectionError.
 *
 * ```ts
 * const cron: Operator<'cron'> = client.cron;
 * const { job_id } = await cron.schedule({ room: 'science', channel: 'tick', payload: {}, delay_seconds: 60 });
 * ```
 */
export type Operator<F extends string> = {
  readonly [N in CommandName as N extends `op.${F}.${infer V}` ? Camel<V> : never]: (
    ...parameters: CommandParameters<N>
  ) => Promise<CommandResult<N>>;
};

/** Creates the methods of one family; `verbs` are its commands without the prefix `op.FAMILY.`. */
function operator<F extends string>(ask: Ask, family: F, ...verbs: Verb<F>[]): Operator<F> {
  const call = ask as (...parameters: unknown[]) => unknown;
  const methods = verbs.map((verb) => [
    verb.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()),
    (args = {}, wait?: unknown) => call(`op.${family}.${verb}`, args, wait),
  ]);
  return Object.fromEntries(methods) as Operator<F>;
}

/** The commands of PROTOCOL section 7 as methods; each rejects with CommandError, TimeoutError or ConnectionError. */
export abstract class CommandCaller<Events extends object> extends Emitter<Events> {
  readonly #ask: Ask = (name, args, wait) => this.run(name, args, wait);
  /**
   * Events POSTed to a URL: `register`, `list`, `unregister`, `deadLetters`, `retry`.
   *
   * ```ts
   * const { rule_id } = await client.webhooks.register({ url: 'https://example.org/hook', room: 'science' });
   * ```
   */
  readonly webhooks: Operator<'webhook'> = operator(
    this.#ask,
    'webhook',
    'register',
    'list',
    'unregister',
    'dead_letters',
    'retry',
  );
  /**
   * Scheduled events: `schedule`, `list`, `cancel`.
   *
   * ```ts
   * await client.cron.schedule({ room: 'science', channel: 'tick', payload: { beat: 1 }, cron: '0 9 * * 1-5' });
   * ```
   */
  readonly cron: Operator<'cron'> = operator(this.#ask, 'cron', 'schedule', 'list', 'cancel');
  /**
   * The content policy in force: `get`, `reload`.
   *
   * ```ts
   * console.log((await client.casil.get()).mode);
   * ```
   */
  readonly casil: Operator<'casil'> = operator(this.#ask, 'casil', 'get', 'reload');
  /**
   * The experimental lane; if it is disabled, all commands but `status` reject with `FEATURE_DISABLED`.
   *
   * ```ts
   * console.log((await client.omega.status()).enabled);
   * ```
   */
  readonly omega: Operator<'omega'> = operator(
    this.#ask,
    'omega',
    'status',
    'register_substrate',
    'list_substrates',
    'unregister_substrate',
    'emit_event',
    'list_events',
    'clear_events',
  );

  protected abstract run<N extends CommandName>(
    name: N,
    args: CommandArgs<N>,
    wait?: WaitOptions,
  ): Promise<CommandResult<N>>;

  /**
   * Sends any command; arguments and result are typed by its name.
   *
   * ```ts
   * const { entries } = await client.command('op.history.get', { room: 'science', limit: 10 });
   * ```
   */
  command<N extends CommandName>(name: N, ...[args, wait]: CommandParameters<N>): Promise<CommandResult<N>> {
    return this.run(name, args ?? {}, wait);
  }

  /**
   * The round-trip time to the server, milliseconds.
   *
   * ```ts
   * console.log(`${await client.ping()} ms`);
   * ```
   */
  async ping(wait?: WaitOptions): Promise<number> {
    const start = performance.now();
    await this.run('ping', {}, wait);
    return performance.now() - start;
  }

  /**
   * The commands of the server, or one of them: description, role, and the JSON Schema of its arguments.
   *
   * ```ts
   * const { commands } = await client.help('join_channel');
   * ```
   */
  help(command?: string, wait?: WaitOptions): Promise<CommandResult<'help'>> {
    return this.run('help', given({ command }), wait);
  }

  /**
   * The status of the server.
   *
   * ```ts
   * console.log((await client.status()).connections.active);
   * ```
   */
  status(wait?: WaitOptions): Promise<CommandResult<'status'>> {
    return this.run('status', {}, wait);
  }

  /**
   * Changes the public profile of this client; renewed after a reconnect, except for a state with a time to live.
   *
   * ```ts
   * await client.identify({ screenName: 'Grace', state: 'busy', note: 'compiling', ttlSeconds: 60 });
   * ```
   */
  identify(identity: Identity & Standing, wait?: WaitOptions): Promise<CommandResult<'identify'>> {
    return this.run('identify', { ...toWire(identity), ...standingToWire(identity) }, wait);
  }

  /**
   * The rooms that the client may see.
   *
   * ```ts
   * for (const { room, members } of await client.rooms()) console.log(room, members);
   * ```
   */
  async rooms(wait?: WaitOptions): Promise<CommandResult<'list_rooms'>['rooms']> {
    return (await this.run('list_rooms', {}, wait)).rooms;
  }

  /**
   * The channels of a room.
   *
   * ```ts
   * for (const { channel, members } of await client.channels('science')) console.log(channel, members);
   * ```
   */
  async channels(room: string, wait?: WaitOptions): Promise<CommandResult<'list_channels'>['channels']> {
    return (await this.run('list_channels', { room }, wait)).channels;
  }

  /**
   * A channel's metadata, members and position.
   *
   * ```ts
   * const { members, sequence, epoch } = await client.channelInfo('science:explore');
   * ```
   */
  channelInfo(at: AddressInput, wait?: WaitOptions): Promise<CommandResult<'channel_info'>> {
    return this.run('channel_info', readPlace(at), wait);
  }

  /**
   * Creates a channel; needs the role `admin`. Rejects with `ALREADY_EXISTS`.
   *
   * ```ts
   * await client.createChannel('science:new', { description: 'by hand', history: { size: 100 } });
   * ```
   */
  createChannel(
    at: AddressInput,
    options: Omit<CommandArgs<'create_channel'>, 'room' | 'channel'> = {},
    wait?: WaitOptions,
  ): Promise<CommandResult<'create_channel'>> {
    return this.run('create_channel', { ...readPlace(at), ...options }, wait);
  }

  /**
   * Deletes an empty channel and its history; needs the role `admin`. Rejects with `CHANNEL_NOT_EMPTY`.
   *
   * ```ts
   * await client.deleteChannel('science:new');
   * ```
   */
  deleteChannel(at: AddressInput, wait?: WaitOptions): Promise<CommandResult<'delete_channel'>> {
    return this.run('delete_channel', readPlace(at), wait);
  }

  /**
   * A channel's history by sequence, or a room's by time; fetched only when iterated. `room:*` is the history of
   * room-wide messages.
   *
   * ```ts
   * for await (const message of client.history('science:explore', { after: 41 })) console.log(message.sequence);
   * ```
   */
  history<P = JsonObject>(at: AddressInput, options: HistoryOptions = {}): History<P> {
    return new History<P>(this.#ask as unknown as AskAnything, at, options);
  }
}
