import type { Failure } from '../server-link.ts';
import { SENTINEL_FAULT } from './sentinels.ts';

/** The server the engine stores in, for messages to people. */
export interface Place {
  readonly backend: 'redis' | 'valkey';
  /** The URL without credentials. */
  readonly shown: string;
}

/** Codes of a certificate that is not, or no longer, trusted. */
const UNTRUSTED = /SELF_SIGNED|^UNABLE_TO|^CERT_/;

/** One sentence on a server error that an operator can act on. Never contains credentials. */
export function sentence(error: unknown, { backend, shown }: Place): string {
  const { code, message } = error instanceof Error ? (error as NodeJS.ErrnoException) : { code: '', message: '' };
  if (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') {
    return `The ${backend} storage backend needs the package "ioredis": install it with "npm install ioredis".`;
  }
  if (code === 'ECONNREFUSED') return `Nothing listens at ${shown}: is ${backend} running there?`;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `The host of ${shown} cannot be found.`;
  if (code === 'ETIMEDOUT' || message.includes('ETIMEDOUT')) return `${shown} did not answer in time.`;
  if (code === SENTINEL_FAULT) return `${shown} leads to no server: ${message}.`;
  if (UNTRUSTED.test(code ?? '')) {
    return `${shown} shows a certificate that is not trusted (${code}): name the file of its authority in NODE_EXTRA_CA_CERTS.`;
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return `The certificate of ${shown} is that of another host.`;
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER')
    return `${shown} does not speak TLS: begin the URL with "${backend}://".`;
  if (message.startsWith('WRONGPASS') || message.includes('invalid password')) {
    return `${shown} refused the user name or password of the ${backend} URL.`;
  }
  if (message.startsWith('NOAUTH')) return `${shown} asks for a password, and the ${backend} URL holds none.`;
  if (message.startsWith('NOPERM')) {
    return `${shown} does not let this user do what it must ("~arqon:* &* +@all" in its ACL): ${message}.`;
  }
  if (message.includes('DB index') || message.includes('SELECT is not allowed')) {
    return `${shown} does not have the database that the ${backend} URL names.`;
  }
  return `${shown} failed: ${message === '' ? String(error) : message}`;
}

/**
 * The meaning of an error reply: `retry`: ask the same server again (a script it does not have, a cluster being
 * resharded); `reconnect`: this server cannot be used now; `refused`: it will not do it.
 */
export function verdict(message: string): 'retry' | 'reconnect' | 'refused' {
  if (/^(NOSCRIPT|TRYAGAIN|MOVED|ASK)\b/.test(message)) return 'retry';
  if (/^(READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|UNBLOCKED)\b/.test(message)) return 'reconnect';
  return 'refused';
}

/** The meaning of a failed request: a server reply, or no reply at all. */
export function judge(error: unknown): Failure {
  const { name, message } = error as Error;
  if (name !== 'ReplyError') return 'lost';
  return verdict(message) === 'refused' ? 'refused' : 'reconnect';
}
