import type { Retention } from './engine/engine.ts';

/** What the bus is told once, at its start. */
export interface BusOptions {
  readonly node: string;
  readonly version: string;
  readonly retention: Retention;
  readonly bootstrapRooms: Readonly<Record<string, readonly string[]>>;
  readonly autoCreateChannels: boolean;
  readonly channelIdleMs: number;
  readonly publishRequiresJoin: boolean;
  readonly maxChannels: number;
  readonly maxSubscriptions: number;
  readonly maxBacklogBytes: number;
  readonly maxMessageBytes: number;
  readonly pingIntervalMs: number;
  readonly telemetryRoom: string;
  /** Whether server events are put on the bus too. */
  readonly telemetry: boolean;
  /** Where events of no tenant go on the bus; null: to operators on the telemetry port alone. */
  readonly serverTenant: string | null;
  readonly now: () => number;
  /** Something failed that no client can be told of. */
  readonly onFault: (error: unknown) => void;
  /** Something about the storage that an operator should change, told again every minute. */
  readonly onWarning?: (sentence: string) => void;
}
