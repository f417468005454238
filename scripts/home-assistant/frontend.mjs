// Looks at pages of a running Home Assistant in Chromium: desktop and phone, light and dark, all open at once.
//
// Usage: frontend.mjs CHROMIUM FOLDER URL TOKEN PICTURES      FOLDER: where playwright-core is installed
// A request per line of standard input, an answer per line of standard output:
//   {"name": "leak", "path": "/hot-water/hot-water", "shows": [TEXT], "hides": [TEXT]}  ->  {"problems": [TEXT]}
// Each makes a picture PICTURES/<name>-<screen>.png of the whole page, and is done when every screen shows what it must.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const [executablePath, folder, base, token, pictures] = process.argv.slice(2);
const { chromium } = createRequire(folder + '/')('playwright-core');

const SCREENS = {};
for (const colorScheme of ['light', 'dark']) {
  SCREENS[`desktop-${colorScheme}`] = { viewport: { width: 1400, height: 900 }, colorScheme };
  SCREENS[`phone-${colorScheme}`] =
    { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true, colorScheme };
}
const PATIENCE = 60_000;
// What the frontend says where it cannot show an entity or a card.
const COMPLAINTS = ['hui-warning', 'hui-error-card', 'hui-warning-element', 'hui-error-entity-row'];

const signedIn = JSON.stringify({
  access_token: token, token_type: 'Bearer', refresh_token: '', expires_in: 1e9, expires: Date.now() + 1e12,
  hassUrl: base, clientId: base + '/',
});

async function open(browser, screen) {
  const context = await browser.newContext({ ...SCREENS[screen], locale: 'en-US', timezoneId: 'UTC', reducedMotion: 'reduce' });
  await context.addInitScript(tokens => {
    localStorage.setItem('hassTokens', tokens);
    localStorage.setItem('dockedSidebar', '"always_hidden"');
  }, signedIn);
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const thrown = [];
  page.on('pageerror', error => thrown.push(`${screen} threw ${String(error).slice(0, 300)}`));
  return { screen, page, thrown };
}

// How far down the cards reach; pages scroll inside of themselves.
function bottom() {
  let lowest = 0;
  const walk = root => {
    for (const element of root.querySelectorAll('*')) {
      if (element.localName === 'ha-card') lowest = Math.max(lowest, element.getBoundingClientRect().bottom);
      if (element.shadowRoot) walk(element.shadowRoot);
    }
  };
  walk(document);
  return Math.ceil(lowest) + 32;
}

// Makes the window so high that everything is seen, and waits until nothing moves any more.
async function grow(page, { width, height }) {
  await page.setViewportSize({ width, height });
  for (let before = 0, tries = 0; tries < 20; tries++) {
    await page.waitForTimeout(500);
    const whole = Math.max(height, await page.evaluate(bottom));
    if (whole === before) return;
    await page.setViewportSize({ width, height: whole });
    before = whole;
  }
}

async function look({ screen, page }, { name, path, shows = [], hides = [] }) {
  const problems = [];
  if (new URL(page.url(), base).pathname !== path || page.url() === 'about:blank') {
    await page.goto(base + path, { waitUntil: 'domcontentloaded' });
  }
  for (const text of shows) {
    await page.getByText(text).filter({ visible: true }).first().waitFor()
      .catch(() => problems.push(`does not show "${text}"`));
  }
  for (const text of hides) {
    const seen = page.getByText(text).filter({ visible: true });
    const until = Date.now() + PATIENCE;
    while (await seen.count() && Date.now() < until) await page.waitForTimeout(200);
    if (await seen.count()) problems.push(`shows "${text}"`);
  }
  await grow(page, SCREENS[screen].viewport);
  for (const complaint of COMPLAINTS) {
    for (const found of await page.locator(complaint).filter({ visible: true }).all()) {
      problems.push(`${complaint}: ${(await found.innerText()).replace(/\s+/g, ' ')}`);
    }
  }
  await page.screenshot({ path: `${pictures}/${name}-${screen}.png` });
  return problems.map(problem => `${name}-${screen} ${problem}`);
}

const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update',
    '--disable-sync'],
});
const opened = await Promise.all(Object.keys(SCREENS).map(screen => open(browser, screen)));
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  const problems = await Promise.all(opened.map(async one => {
    const seen = await look(one, request).catch(error => [`${request.name}-${one.screen} ${error}`]);
    return [...seen, ...one.thrown.splice(0)];
  }));
  console.log(JSON.stringify({ problems: problems.flat() }));
}
await browser.close();
