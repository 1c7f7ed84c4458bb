export type { AddressInput } from './address.ts';
export { ArqonBusClient } from './client.ts';
export type { BackoffOptions, Clock } from './clock.ts';
export type { Operator } from './commands.ts';
export type { Frame } from './connection.ts';
export type { Reset, ResetReason, Since } from './cursors.ts';
export type { Delivery, NackOptions } from './delivery.ts';
export {
  ArqonBusError,
  AuthenticationError,
  type ClientErrorCode,
  CommandError,
  ConnectionError,
  LeaseLostError,
  LoopDetectedError,
  MailboxFullError,
  NoRespondersError,
  QueueFullError,
  RefusedError,
  RequestError,
  SchemaMismatchError,
  TimeoutError,
} from './errors.ts';
export type { Feature } from './features.ts';
export type { GroupEvents, GroupOptions, GroupSubscription } from './group-subscription.ts';
export type { History, HistoryCursor, HistoryOptions, HistoryPage, HistoryWaitOptions } from './history.ts';
export type { Lease, LeaseEvents, LeaseOptions, Leases } from './leases.ts';
export type { ConnectionState, ConnectOptions, ReconnectInfo } from './link.ts';
export type { JoinOptions } from './membership.ts';
export type { Message } from './message.ts';
export type { ClientOptions, Identity, Standing, TokenOption } from './options.ts';
export type { Ack, PrivateAck, PublishOptions, SendOptions, Sent } from './outgoing.ts';
export type { WaitOptions } from './pending.ts';
export type { Member, PresenceChange, PresenceEvents, PresenceOptions, PresenceSet } from './presence.ts';
export type { CommandParameters } from './queue.ts';
export type { Receipt } from './receipts.ts';
export type { RequestHandler, RequestOptions, ServeOptions, Target } from './request.ts';
export type { ClientEvents, StateChange } from './session.ts';
export type { OpenSocket, Socket, SocketEnd, SocketEvents, SocketRequest } from './socket.ts';
export { eventStreamAt } from './socket-sse.ts';
export type {
  Store,
  StoreEntry,
  StorePlace,
  StoreWatch,
  StoreWatchEvents,
  StoreWriteOptions,
  WatchOptions,
} from './store.ts';
export { StreamError, type StreamPlace, type StreamState } from './stream-reader.ts';
export type {
  Overflow,
  OverflowPolicy,
  Presence,
  SubscribeOptions,
  Subscription,
  SubscriptionEvents,
} from './subscription.ts';
export type { StreamEnd, StreamOptions, TokenStream } from './token-stream.ts';
