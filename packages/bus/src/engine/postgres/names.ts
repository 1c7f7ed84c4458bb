import { replaceSurrogates } from '@arqonbus/protocol';

/**
 * A lossless encoding of a text for PostgreSQL: JSON text without its quotes. Different texts stay different; NUL and
 * lone surrogates, which the server does not accept, are escaped.
 */
export function spelled(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

/** Keys as hexadecimal UTF-16, most significant byte first: ordered by code unit. */
export function toKeyBytes(text: string): string {
  return Buffer.from(text, 'utf16le').swap16().toString('hex');
}

export function fromKeyBytes(bytes: Uint8Array): string {
  // A copy: the driver's bytes may be an unaligned part of a larger block.
  return Buffer.from(bytes).swap16().toString('utf16le');
}

/** JSON text that the server accepts. NUL and lone surrogates become U+FFFD, as everywhere on the bus. */
export function storable(json: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: NUL is what the server does not take.
  return replaceSurrogates(json.replace(/\u0000/g, '\ufffd'), 1);
}
