import type { Publication, Published } from '../engine.ts';
import type { Session } from './session.ts';

/** A publication between its acceptance and its answer. */
export interface Pending {
  readonly number: number;
  readonly publication: Publication;
  readonly topic: string;
  readonly body: string;
  readonly idempotenceKey: string;
  /** Where the server put it; null while that is not known. */
  place: { readonly sequence: number; readonly epoch: string } | null;
  answeredAt: number;
  resolve(published: Published): void;
  reject(error: Error): void;
}

export interface PublisherEvents {
  /** The current time in milliseconds. */
  now(): number;
  /** Whether an event is still on its way to this node's members. */
  expects(topic: string, channel: string, epoch: string, sequence: number): boolean;
  /** An event was published a while ago, and has not come by. */
  overdue(pending: Pending): void;
  /** The server answered that it will not store it: nothing was stored. */
  refused(pending: Pending, reason: string): void;
  stored(): void;
  /** The server cannot take writes now. */
  unfit(session: Session, reason: string): void;
}
