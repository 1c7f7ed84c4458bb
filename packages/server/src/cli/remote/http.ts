import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { explainTls, sentence, shownUrl } from './failure.ts';
import { type HttpOptions, tokenOf, trustedCertificates } from './options.ts';

/** Options of a request. */
export interface AskOptions extends HttpOptions {
  /** Accepts any certificate, for probes without credentials. */
  readonly insecure?: boolean;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** GETs a route of the HTTP port at `base`. Throws a sentence that says what to do if the response is not 2xx. */
export async function getText(base: string, path: string, options: AskOptions): Promise<string> {
  const shown = shownUrl(base);
  let answer: Answer;
  try {
    answer = await get(`${base.replace(/\/$/, '')}${path}`, options);
  } catch (error) {
    throw new Error(explain(error, base, options));
  }
  const { status, text } = answer;
  if (status >= 200 && status < 300) return text;
  const hint = status === 401 ? ' Pass --api-key or --jwt.' : '';
  throw new Error(`${sentence(`${shown} answered ${status}${said(text)}`)}${hint}`);
}

/** {@link getText}, parsed. */
export async function getJson<T>(base: string, path: string, options: AskOptions): Promise<T> {
  const text = await getText(base, path, options);
  try {
    return JSON.parse(text) as T;
  } catch {
    throw new Error(`what answers at ${shownUrl(base)} is not the HTTP port of a bus; pass another --http-url.`);
  }
}

function get(url: string, options: AskOptions): Promise<Answer> {
  const { apiKey = '', timeoutSeconds = 10, insecure = false } = options;
  const token = tokenOf(options);
  const ca = trustedCertificates(options);
  const headers = {
    ...(apiKey === '' ? {} : { 'X-API-Key': apiKey }),
    ...(token === '' ? {} : { Authorization: `Bearer ${token}` }),
  };
  const request = url.startsWith('https:') ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutSeconds * 1000);
    const sent = request(
      url,
      { headers, signal, rejectUnauthorized: !insecure, ...(ca === undefined ? {} : { ca }) },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
        response.on('error', reject);
      },
    );
    sent.on('error', (error) => reject(signal.aborted ? new Error('no answer in time') : error));
    sent.end();
  });
}

function explain(error: unknown, base: string, options: HttpOptions): string {
  const { message, code } = error as NodeJS.ErrnoException;
  const tls = explainTls(`${message} ${code}`, new URL(base).host, options.ca !== undefined);
  const reason = /^E[A-Z]+$/.test(code ?? '') ? code : message;
  const hint = code === 'ECONNRESET' && base.startsWith('http:') ? ' If it speaks TLS, write https://.' : '';
  return (
    tls ?? `no bus answers at ${shownUrl(base)} (${reason}); start one with "arqon serve" or pass --http-url.${hint}`
  );
}

/** The error message in a body from a bus. */
function said(body: string): string {
  try {
    const { error } = JSON.parse(body) as { error?: unknown };
    return typeof error === 'string' ? `: ${error}` : '';
  } catch {
    return '';
  }
}
