/** A text as a sentence that ends with one full stop. */
export function sentence(text: string): string {
  const trimmed = text.trim().replace(/([.!?])\.+$/, '$1');
  return /[.!?]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}

const UNTRUSTED = /self[- ]signed certificate|unable to verify the first certificate|unable to get (local )?issuer/i;

/** What to do about a TLS handshake that failed for `reason`; undefined if it failed for another reason. */
export function explainTls(reason: string, host: string, hasCa: boolean): string | undefined {
  if (UNTRUSTED.test(reason)) {
    const [cause] = UNTRUSTED.exec(reason)!;
    const remedy = hasCa
      ? 'the file of --ca does not hold the certificate that signed it'
      : 'pass --ca FILE with the certificate that signed it';
    return `the certificate of ${host} is not trusted (${cause}); ${remedy}.`;
  }
  if (/certificate has expired/i.test(reason)) return `the certificate of ${host} has expired; renew it on the bus.`;
  if (/certificate is not yet valid/i.test(reason)) {
    return `the certificate of ${host} is not valid yet; check the clocks of both machines.`;
  }
  if (/does not match certificate's altnames/i.test(reason)) {
    return `the certificate of ${host} was issued for another name; connect with a name that it lists.`;
  }
  if (/wrong version number|EPROTO/i.test(reason)) {
    return `${host} does not speak TLS; write the address with ws:// or http://.`;
  }
  return undefined;
}

/** A URL that can be shown: without the query, which may contain a token, and without the password. */
export function shownUrl(url: string): string {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname === '/' ? '' : pathname}`;
}
