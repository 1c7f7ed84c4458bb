import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

/** The two ways in which clients of MCP begin: a session that is initialized, and requests that stand alone. */
export const ERAS = { session: 'legacy', stateless: { pin: '2026-07-28' } } as const;
export type Era = keyof typeof ERAS;

// biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
export type Answer = any;

/** A model's side of MCP: the SDK's own client. */
export class ModelClient {
  readonly client: Client;

  private constructor(client: Client) {
    this.client = client;
  }

  static async connect(url: string, era: Era, token?: string): Promise<ModelClient> {
    const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode: ERAS[era] } });
    const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
    await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
    return new ModelClient(client);
  }

  /** The answer of a tool; throws what it refused. */
  async call(name: string, args: Record<string, unknown> = {}): Promise<Answer> {
    const { answer, isError } = await this.ask(name, args);
    if (isError) throw new Error(JSON.stringify(answer));
    return answer;
  }

  async ask(name: string, args: Record<string, unknown> = {}): Promise<{ answer: Answer; isError: boolean }> {
    const { content, isError = false } = await this.client.callTool({ name, arguments: args });
    const [first] = content as { text: string }[];
    const text = first?.text ?? '';
    return { answer: text.startsWith('{') ? JSON.parse(text) : text, isError: isError === true };
  }

  close(): Promise<void> {
    return this.client.close();
  }
}
