import { WebSocket } from 'ws';
import { explainTls } from '../remote/failure.ts';

/** An event of the telemetry port, as a view lists it. */
export interface TelemetryEvent {
  readonly eventType: string;
  readonly timestamp: string;
  readonly severity: string;
  readonly payload: Readonly<Record<string, unknown>>;
}

export interface TelemetryOptions {
  /** Empty when there is none. */
  readonly token: string;
  readonly ca: readonly string[] | undefined;
  /** Client id of the connection that this program had to the bus. */
  readonly ownClient: string | undefined;
}

const KEPT = 50;

/** Follows the telemetry port; {@link Telemetry.ensure} connects again after the connection was lost. */
export class Telemetry {
  /** The last events, newest last, without what this program's own questions caused. */
  readonly events: TelemetryEvent[] = [];
  /** Why there are no events; empty while connected. */
  problem = 'connecting';
  private readonly options: TelemetryOptions;
  private socket: WebSocket | undefined;

  constructor(options: TelemetryOptions) {
    this.options = options;
  }

  /** Connects, unless it is connected or about to be. */
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
      // The replay brings the earlier events again.
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
      // The inspection of a question is told before the question.
      const kept = this.events.filter((earlier) => earlier.payload.message_id !== payload.message_id);
      this.events.splice(0, this.events.length, ...kept);
      return;
    }
    this.events.push(event);
    if (this.events.length > KEPT) this.events.shift();
  }
}

/** Whether somebody, such as this program, asked for the status over HTTP: no news, and once a second. */
function isStatusQuestion({ eventType, payload }: TelemetryEvent): boolean {
  const { command, client_id } = payload;
  return eventType === 'command_executed' && command === 'status' && String(client_id).startsWith('http:');
}

/** An event; undefined for what is something else, such as the greeting of the port. */
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
