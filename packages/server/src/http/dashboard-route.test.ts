import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../../../../test/fixtures/start.ts';
import { WITH_AUTH } from '../../../../test/fixtures/tokens.ts';

/** What a browser loads before the page is there, compressed. */
const BUDGET_BYTES = 90_000;

describe('GET /', () => {
  let server: TestServer;
  let page: Response;
  let html: string;

  beforeAll(async () => {
    server = await startTestServer(WITH_AUTH);
    page = await fetch(`${server.urls.http}/`);
    html = await page.text();
  });
  afterAll(() => server.stop());

  it('is a page for everybody, which asks by itself who one is', () => {
    expect(page.status).toBe(200);
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(html).toContain('<div id="app"></div>');
  });

  it('allows nothing but files of its own origin', () => {
    const policy = page.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("connect-src 'self'");
    expect(policy).not.toMatch(/unsafe|https?:|\*/);
    // No script or style stands in the page itself, which the policy would refuse.
    expect(html).not.toMatch(/<script(?![^>]*\ssrc=)|<style|\son\w+=/);
  });

  it('has relative addresses alone, and fits its budget', async () => {
    const files = [...html.matchAll(/(?:src|href)="(?!data:|metrics")([^"]+)"/g)].map(([, path = '']) => path);
    expect(files.length).toBeGreaterThanOrEqual(2);
    let bytes = gzipSync(html, { level: 9 }).length;
    for (const path of files) {
      expect(path).toMatch(/^\.\/assets\//);
      const asset = await fetch(new URL(path, `${server.urls.http}/`));
      expect(asset.status).toBe(200);
      expect(asset.headers.get('content-type')).toMatch(path.endsWith('.js') ? /^text\/javascript/ : /^text\/css/);
      expect(asset.headers.get('cache-control')).toContain('immutable');
      bytes += gzipSync(await asset.text(), { level: 9 }).length;
    }
    console.info(`dashboard: ${bytes} bytes gzip (budget ${BUDGET_BYTES})`);
    expect(bytes).toBeLessThanOrEqual(BUDGET_BYTES);
  });

  it('has no other files', async () => {
    for (const path of ['nothing.js', '..%2findex.html', '%2e%2e%2fpackage.json']) {
      const answer = await fetch(`${server.urls.http}/assets/${path}`);
      expect(answer.status).toBe(404);
      expect(await answer.json()).toMatchObject({ error_code: 'NOT_FOUND' });
    }
  });

  it('is left out with ARQONBUS_DASHBOARD=false', async () => {
    const without = await startTestServer({ ARQONBUS_DASHBOARD: 'false' });
    try {
      expect((await fetch(`${without.urls.http}/`)).status).toBe(404);
      expect((await fetch(`${without.urls.http}/assets/index.js`)).status).toBe(404);
    } finally {
      await without.stop();
    }
  });
});
