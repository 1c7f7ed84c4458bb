import { WebSocket } from 'ws';
import { explainTls } from '../remote/failure.ts';

/** An event of the telemetry port. */
export interface TelemetryEvent {
  readonly eventType: string;
  readonly timestamp: string;
  readonly severity: string;
  readonly payload: Readonly<Record<string, unknown>>;
}

export interface TelemetryOptions {
  /** Empty if there is none. */
  readonly token: string;
  readonly ca: readonly string[] | undefined;
  /** Client id of this program's connection to the bus. */
  readonly ownClient: string | undefined;
}

const KEPT = 50;

/** Follows the telemetry port; {@link Telemetry.ensure} reconnects after a lost connection. */
export class Telemetry {
  /** The latest events, newest last, without those caused by this program's own requests. */
  readonly events: TelemetryEvent[] = [];
  /** The reason for missing events; empty while connected. */
  problem = 'connecting';
  private readonly options: TelemetryOptions;
  private socket: WebSocket | undefined;

  constructor(options: TelemetryOptions) {
    this.options = options;
  }

  /** Connects, unless already connected or connecting. */
  ensure(url: string | null): void {
    if (url === null) {
      this.problem = 'the telemetry port is off';
      return;
    }
    if (this.socket !== undefined) return;
    if (!URL.canParse(url) || !/^wss?:/.test(url)) {
      this.problem = `"${url}" is not an address; pass --telemetry-url`;
      return;
    }
    const { token, ca } = this.options;
    const headers = token === '' ? {} : { authorization: `Bearer ${token}` };
    const socket = new WebSocket(url, { headers, ...(ca === undefined ? {} : { ca: [...ca] }) });
    this.socket = socket;
    socket.on('open', () => {
      // The replay repeats the earlier events.
      this.events.length = 0;
      this.problem = '';
      socket.send(JSON.stringify({ type: 'replay', limit: KEPT }));
    });
    socket.on('message', (data) => this.take(String(data)));
    socket.on('error', ({ message }) => {
      this.problem = explainTls(message, new URL(url).host, ca !== undefined) ?? message;
    });
    socket.on('close', () => {
      this.socket = undefined;
      this.problem ||= 'the connection was lost';
    });
  }

  close(): void {
    this.socket?.terminate();
  }

  private take(frame: string): void {
    const event = readEvent(frame);
    if (event === undefined) return;
    const { payload } = event;
    if (payload.client_id !== undefined && payload.client_id === this.options.ownClient) return;
    if (isStatusQuestion(event)) {
      // The inspection of a request is reported before the request.
      const kept = this.events.filter((earlier) => earlier.payload.message_id !== payload.message_id);
      this.events.splice(0, this.events.length, ...kept);
      return;
    }
    this.events.push(event);
    if (this.events.length > KEPT) this.events.shift();
  }
}

/** Whether the event is a status request over HTTP, such as this program's, which repeats every second. */
function isStatusQuestion({ eventType, payload }: TelemetryEvent): boolean {
  const { command, client_id } = payload;
  return eventType === 'command_executed' && command === 'status' && String(client_id).startsWith('http:');
}

/** Parses an event; undefined for other frames, such as the greeting of the port. */
function readEvent(frame: string): TelemetryEvent | undefined {
  let event: unknown;
  try {
    event = JSON.parse(frame);
  } catch {
    return undefined;
  }
  const { eventType, timestamp, severity = 'info', payload } = Object(event) as Readonly<Record<string, unknown>>;
  if (typeof eventType !== 'string' || typeof timestamp !== 'string' || typeof severity !== 'string') return undefined;
  return { eventType, timestamp, severity, payload: Object(payload) as TelemetryEvent['payload'] };
}
