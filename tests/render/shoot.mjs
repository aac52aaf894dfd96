// SPDX-License-Identifier: Apache-2.0
// node shoot.mjs PROMETHEUS DASHBOARD.json OUT.png [NAME=VALUE …]: a picture of a dashboard, and what is wrong on standard output.
// minutes, scrape (seconds), width, height, open (rows that are closed too), theme, var-NAME.
import { readFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

const [prometheus, dashboard, out, ...given] = process.argv.slice(2);
const options = Object.fromEntries(given.map((one) => [...one.split(/=(.*)/s), ''].slice(0, 2)));
const dist = join(fileURLToPath(new URL('.', import.meta.url)), 'dist');
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json' };

const server = createServer(async (asked, answer) => {
  const { pathname } = new URL(asked.url, 'http://localhost');
  if (pathname.startsWith('/api/')) {
    const passed = request(prometheus + asked.url, { method: asked.method }, (got) => {
      answer.writeHead(got.statusCode, got.headers);
      got.pipe(answer);
    });
    passed.on('error', (error) => answer.writeHead(502).end(String(error)));
    asked.pipe(passed);
    return;
  }
  const file = pathname === '/dashboard.json' ? dashboard : join(dist, pathname === '/' ? 'index.html' : pathname);
  try {
    const body = await readFile(file);
    answer.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(body);
  } catch {
    answer.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
         '--disable-component-update', '--disable-sync'],
});
const width = Number(options.width ?? 1400);
const page = await browser.newPage({ viewport: { width, height: Number(options.height ?? 900) } });
const wrong = [];
page.on('pageerror', (error) => wrong.push(`page: ${String(error.stack).slice(0, 600)}`));
await page.goto(`http://127.0.0.1:${server.address().port}/?${new URLSearchParams(options)}`);
await page.waitForFunction(
  () => {
    const grid = document.querySelector('[data-panels]');
    const done = document.querySelectorAll('[data-panel], [data-panel-error]').length;
    return document.querySelector('pre[data-panel-error]') || (grid && done >= Number(grid.dataset.panels));
  },
  null,
  { timeout: 60000 }
);
await page.waitForTimeout(700);
const said = await page.evaluate(() => ({
  panels: document.querySelectorAll('[data-panel]').length,
  wrong: [...document.querySelectorAll('[data-panel-error], [data-unsupported]')].map((one) => one.textContent.slice(0, 600)),
  empty: [...document.querySelectorAll('[data-empty]')].map((one) => one.dataset.title),
  plain: document.querySelectorAll('[data-fallback]').length,
}));
const whole = !options.height;
await page.screenshot({ path: out, fullPage: whole });
await browser.close();
server.close();
console.log(`${out}: ${said.panels} panels, ${said.plain} of them drawn plainly`);
said.empty.forEach((title) => console.log(`  empty: ${title}`));
[...wrong, ...said.wrong].forEach((text) => console.log(`  wrong: ${text}`));
process.exit(wrong.length + said.wrong.length ? 1 : 0);
