import type { Envelope, Welcome } from '@arqonbus/protocol';
import type { ArqonBusError } from './errors.ts';
import type { ConnectionState, ReconnectInfo } from './link.ts';
import type { Message } from './message.ts';

export interface StateChange {
  readonly state: ConnectionState;
  readonly previous: ConnectionState;
}

/** What a client tells of by itself: `client.on(name, listener)`. */
export interface ClientEvents {
  state: StateChange;
  /** Greeted by the server, on every connection. */
  welcome: Welcome;
  /** An attempt failed or the line broke; another attempt follows. */
  reconnecting: ReconnectInfo;
  /** Every event as it comes over the wire, before subscriptions put it in order. */
  event: Message;
  telemetry: Message;
  /** Private messages that are neither requests for the handler nor replies. */
  private: Message;
  /** `system` envelopes: presence, shutdown, token expiry, channels made and deleted. */
  notice: Envelope;
  /** What no promise could be rejected with: refused messages without ack, failing listeners, the end of the client. */
  error: ArqonBusError;
}
