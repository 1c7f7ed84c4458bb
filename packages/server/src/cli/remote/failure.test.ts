import { describe, expect, it } from 'vitest';
import { explainTls, sentence, shownUrl } from './failure.ts';

describe('a sentence', () => {
  it.each([
    ['refused', 'refused.'],
    ['Refused.', 'Refused.'],
    ['Refused..', 'Refused.'],
    ['really?.', 'really?'],
    [' refused\n', 'refused.'],
  ])('of %j ends once', (text, expected) => {
    expect(sentence(text)).toBe(expected);
  });
});

describe('a TLS handshake that failed', () => {
  it.each([
    ['failed: self-signed certificate.', 'pass --ca FILE'],
    ['unable to verify the first certificate', 'is not trusted (unable to verify the first certificate)'],
    ['unable to get local issuer certificate', 'is not trusted'],
    ['certificate has expired', 'has expired; renew it'],
    ['certificate is not yet valid', 'check the clocks'],
    ["Hostname/IP does not match certificate's altnames: IP: 10.0.0.1", 'was issued for another name'],
    ['write EPROTO 8:error:wrong version number', 'does not speak TLS'],
  ])('for %j says what to do', (reason, expected) => {
    expect(explainTls(reason, 'bus.example:9100', false)).toContain(expected);
  });

  it('does not ask for a file that was given, and knows what is no matter of TLS', () => {
    const told = explainTls('self-signed certificate', 'bus', true);
    expect(told).toContain('the file of --ca does not hold the certificate that signed it');
    expect(explainTls('connect ECONNREFUSED 127.0.0.1:1', 'bus', false)).toBeUndefined();
  });
});

describe('an address that is shown', () => {
  it('holds no password and no query', () => {
    expect(shownUrl('wss://me:secret@bus.example:9100/path?token=secret')).toBe('wss://bus.example:9100/path');
    expect(shownUrl('ws://127.0.0.1:9100')).toBe('ws://127.0.0.1:9100');
  });
});
