import type { Envelope } from '@arqonbus/protocol';

/** A text as one argument of a POSIX shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** A shell command that publishes the same message. The key or token is read from a variable. */
export function asCurl(base: string, { room, channel, payload }: Envelope, kind: 'none' | 'token' | 'key'): string {
  const secret = {
    none: '',
    token: ' -H "Authorization: Bearer $ARQONBUS_TOKEN"',
    key: ' -H "X-API-Key: $ARQONBUS_HTTP_API_KEY"',
  }[kind];
  const body = JSON.stringify({ room, ...(channel === '*' ? {} : { channel }), payload });
  return `curl -X POST ${quoted(`${base}v1/publish`)} -H 'Content-Type: application/json'${secret} -d ${quoted(body)}`;
}

/** The same in TypeScript. */
export function asCode({ room, channel, payload }: Envelope): string {
  const at = channel === undefined || channel === '*' ? room : `${room}:${channel}`;
  return `await client.publish(${JSON.stringify(at)}, ${JSON.stringify(payload, null, 2)});`;
}
