import { WebSocket } from 'ws';

/** An event of the telemetry port, as a view lists it. */
export interface TelemetryEvent {
  readonly eventType: string;
  readonly timestamp: string;
  readonly severity: string;
  readonly payload: Readonly<Record<string, unknown>>;
}

const KEPT = 50;

/** Follows the telemetry port; a line that is lost, or was never made, is tried again with {@link Telemetry.ensure}. */
export class Telemetry {
  /** The last events, newest last. */
  readonly events: TelemetryEvent[] = [];
  /** What stands between this view and the port; empty while connected. */
  problem = 'connecting';
  private readonly jwt: string;
  private socket: WebSocket | undefined;

  constructor(jwt: string) {
    this.jwt = jwt;
  }

  /** Connects, unless it is connected or about to be. */
  ensure(url: string | null): void {
    if (url === null) {
      this.problem = 'the telemetry port is off';
      return;
    }
    if (this.socket !== undefined) return;
    const headers = this.jwt === '' ? {} : { authorization: `Bearer ${this.jwt}` };
    const socket = new WebSocket(url, { headers });
    this.socket = socket;
    socket.on('open', () => {
      // What happened before comes first.
      this.events.length = 0;
      this.problem = '';
      socket.send(JSON.stringify({ type: 'replay', limit: KEPT }));
    });
    socket.on('message', (data) => this.take(String(data)));
    socket.on('error', ({ message }) => {
      this.problem = message;
    });
    socket.on('close', () => {
      this.socket = undefined;
      this.problem ||= 'the line was lost';
    });
  }

  close(): void {
    this.socket?.terminate();
  }

  private take(text: string): void {
    const event = JSON.parse(text) as Partial<TelemetryEvent>;
    if (event.timestamp === undefined || event.eventType === undefined) return;
    this.events.push({ severity: 'info', payload: {}, ...event } as TelemetryEvent);
    if (this.events.length > KEPT) this.events.shift();
  }
}
