import type { CommandArgs, CommandName, CommandResult, JsonObject } from '@arqonbus/protocol';
import { type AddressInput, readPlace } from './address.ts';
import type { Ask, CommandParameters } from './ask.ts';
import { Emitter } from './emitter.ts';
import { given } from './given.ts';
import { History, type HistoryOptions } from './history.ts';
import { type Operator, operator } from './operators.ts';
import { type Identity, toWire } from './options.ts';
import type { WaitOptions } from './pending.ts';

/**
 * Commands that may be sent again when the line broke before they were answered: they only read, or doing them twice
 * comes to the same.
 */
export const REPEATABLE: RegExp =
  /^(ping|help|status|identify|refresh_token|channel_info|history|(list|join|leave)_\w+|op\.\w+\.(get|replay|status|watch|unwatch|dead_letters|list\w*))$/;

/** The commands of PROTOCOL section 7 as methods; each rejects with CommandError, TimeoutError or ConnectionError. */
export abstract class CommandCaller<Events extends object> extends Emitter<Events> {
  readonly #ask: Ask = (name, args, wait) => this.run(name, args, wait);
  /** Events POSTed to an address of yours: `register`, `list`, `unregister`, `deadLetters`, `retry`. */
  readonly webhooks: Operator<'webhook'> = operator(
    this.#ask,
    'webhook',
    'register',
    'list',
    'unregister',
    'dead_letters',
    'retry',
  );
  /** Events that the server sends at a time: `schedule`, `list`, `cancel`. */
  readonly cron: Operator<'cron'> = operator(this.#ask, 'cron', 'schedule', 'list', 'cancel');
  /** The content policy in force: `get`, `reload`. */
  readonly casil: Operator<'casil'> = operator(this.#ask, 'casil', 'get', 'reload');
  /** The experimental lane; all but `status` answer `FEATURE_DISABLED` where it is off. */
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

  /** Sends any command; the name decides the types of arguments and result. */
  command<N extends CommandName>(name: N, ...[args, wait]: CommandParameters<N>): Promise<CommandResult<N>> {
    return this.run(name, args ?? {}, wait);
  }

  /** The way to the server and back, milliseconds. */
  async ping(wait?: WaitOptions): Promise<number> {
    const start = performance.now();
    await this.run('ping', {}, wait);
    return performance.now() - start;
  }

  help(command?: string, wait?: WaitOptions): Promise<CommandResult<'help'>> {
    return this.run('help', given({ command }), wait);
  }

  status(wait?: WaitOptions): Promise<CommandResult<'status'>> {
    return this.run('status', {}, wait);
  }

  /** Changes how others see this client; kept for the connections to come. */
  identify(identity: Identity, wait?: WaitOptions): Promise<CommandResult<'identify'>> {
    return this.run('identify', toWire(identity), wait);
  }

  async rooms(wait?: WaitOptions): Promise<CommandResult<'list_rooms'>['rooms']> {
    return (await this.run('list_rooms', {}, wait)).rooms;
  }

  async channels(room: string, wait?: WaitOptions): Promise<CommandResult<'list_channels'>['channels']> {
    return (await this.run('list_channels', { room }, wait)).channels;
  }

  /** A channel's metadata, members and position. */
  channelInfo(at: AddressInput, wait?: WaitOptions): Promise<CommandResult<'channel_info'>> {
    return this.run('channel_info', readPlace(at), wait);
  }

  createChannel(
    at: AddressInput,
    options: Omit<CommandArgs<'create_channel'>, 'room' | 'channel'> = {},
    wait?: WaitOptions,
  ): Promise<CommandResult<'create_channel'>> {
    return this.run('create_channel', { ...readPlace(at), ...options }, wait);
  }

  deleteChannel(at: AddressInput, wait?: WaitOptions): Promise<CommandResult<'delete_channel'>> {
    return this.run('delete_channel', readPlace(at), wait);
  }

  /** A channel's history by sequence: nothing is asked for before it is iterated. */
  history<P = JsonObject>(at: AddressInput, options: HistoryOptions = {}): History<P> {
    return new History<P>((args) => this.run('history', args, options), readPlace(at), options);
  }
}
