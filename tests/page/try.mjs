// Tries the page in a headless Chromium against the real bridge. Usage: scripts/try-page (see there).
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { World, until } from "./world.mjs";

const [program, chromiumPath, modules, pictures] = process.argv.slice(2).map((path) => resolve(path));
const require = createRequire(`${modules}/package.json`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
mkdirSync(pictures, { recursive: true });

const PHONE = { width: 360, height: 740 };
const DESKTOP = { width: 1280, height: 900 };
const LIMIT = { timeout: 60000 };

// The world ends with the process.
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
const world = await World.begin(program);
const browser = await chromium.launch({ executablePath: chromiumPath, args: ["--no-sandbox"] });

// Opens the page and notes what must not happen on it.
async function open(options = {}, prepare = () => {}) {
  const context = await browser.newContext({ viewport: DESKTOP, colorScheme: "light", locale: "en-GB", ...options });
  const page = await context.newPage();
  page.wrong = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && page.wrong.push(message.text()));
  page.on("pageerror", (error) => page.wrong.push(error.stack));
  const isOurs = (url) => url.startsWith("data:") || url.startsWith(world.url);
  page.on("request", (request) => isOurs(request.url()) || page.wrong.push(`request to ${request.url()}`));
  await prepare(page);
  await page.goto(world.url);
  return page;
}
const headline = (page, text) => page.getByRole("heading", { level: 2, name: text }).waitFor(LIMIT);
const card = (page, index) => page.locator("article").nth(index);
const says = (place, text) => place.getByText(text).first().waitFor(LIMIT);
const reads = (element, text) => element.filter({ hasText: text }).first().waitFor(LIMIT);
const picture = (page, name) => page.screenshot({ path: `${pictures}/${name}.png`, fullPage: true });
async function judge(page, where) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(", ")}`);
  assert.deepEqual(found, [], `axe, ${where}`);
  const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wider <= 0, `${where}: the page is ${wider} px wider than the window`);
}

// A page whose bridge says what the test wants.
const pretend = (change) => async (page) => {
  const state = await world.read("state");
  change(state);
  await page.route("**/state", (route) => route.fulfill({ json: state }));
  await page.route("**/events", (route) =>
    route.fulfill({ contentType: "text/event-stream", body: `event: state\ndata: ${JSON.stringify(state)}\n\n` }));
};

const CHECKS = {
  async "the page shows connection and heaters, quietly, and asks nobody else"() {
    const page = await open();
    await headline(page, "Connected to the cloud");
    for (const index of [0, 1]) {
      await says(card(page, index), /^Simulated heater/);
      await reads(card(page, index).locator("dd.set-now"), /^\d+(\.\d)? °[CF]$/);
      await reads(card(page, index).locator("dd.power-now"), /^\d+ W$/);
      await says(card(page, index), /^Last heard/);
    }
    assert.match(await card(page, 0).locator(".tank").getAttribute("aria-label"), /^Tank: top [\d.]+ °F, bottom .* %/);
    const answer = await page.request.get(world.url);
    assert.match(answer.headers()["content-security-policy"], /^default-src 'none'; script-src 'self'; style-src/);
    assert.deepEqual(page.wrong, []);
    await page.context().close();
  },

  async "a change arrives by itself, and what became of the command with it"() {
    const page = await open();
    await headline(page, "Connected to the cloud");
    const { heaters } = await world.read("state");
    const wanted = heaters[0].status.dhw_temperature_setting > 118 ? 113 : 122;
    world.set(0, "temperature", wanted);
    await reads(card(page, 0).locator("dd.set-now"), `${wanted} °F`);
    await reads(page.locator("#commands"), "Temperature: ✓ done, the heater confirmed it");
    await reads(page.locator("#events"), `to ${wanted} °F`);
    world.set(0, "temperature", 500);
    await reads(page.locator("#commands"), /Temperature: ✗ refused \(.+\)/);
    await world.fault({ fault: "display", index: 0, celsius: true });
    await reads(card(page, 0).locator("dd.set-now"), "°C");
    await world.fault({ fault: "display", index: 0, celsius: false });
    await reads(card(page, 0).locator("dd.set-now"), "°F");
    assert.deepEqual(page.wrong, []);
    await page.context().close();
  },

  async "an error of a heater is told in words, and so is its end"() {
    const page = await open();
    await world.fault({ fault: "heater", index: 1, state: { error: 799 } });
    await says(card(page, 1), "Error 799: water leak");
    await says(page.locator("#alarms"), "Simulated heater 2: Error 799: water leak");
    await reads(page.locator("#events"), "Error 799: water leak");
    await judge(page, "with an error");
    await picture(page, "error");
    await world.fault({ fault: "heater", index: 1, state: "online" });
    await reads(page.locator("#events"), "Error 799 is over");
    await until("the alarm is gone", async () => (await page.locator(".alarms li").count()) === 0);
    assert.deepEqual(page.wrong, []);
    await page.context().close();
  },

  async "an outage begins and ends before the reader's eyes"() {
    const page = await open();
    await headline(page, "Connected to the cloud");
    await world.fault({ fault: "refuse" }, { fault: "reset" });
    await headline(page, "No connection to the cloud");
    await says(page.locator("#facts"), /^Since .*, for [\d.]+ s\.$/);
    await says(page.locator("#facts"), /^Attempt \d+ of 99 begins (in \d+ s|now)\.$/);
    await says(page.locator("#outages"), /^Outage of [\d.]+ s until now\. .+\.$/);
    assert.match(await page.title(), /^⚠ No connection/);
    assert.match(await page.locator("#spoken").textContent(), /^No connection to the cloud\. \w/);
    await judge(page, "in an outage");
    await picture(page, "outage");
    await world.fault({ fault: "clear" });
    await headline(page, "Connected to the cloud");
    await reads(page.locator("#events"), "Connected again, after an outage of");
    await says(page.locator("#outages"), /^Outage of [\d.]+ s\. .+\.$/);
    await says(page.locator("#facts"), /^Since \d\d:\d\d: 1 outage, /);
    assert.deepEqual(page.wrong, []);
    await page.context().close();
  },

  async "the days are told by keyboard, pointer and tap"() {
    const page = await open({ hasTouch: true });
    await headline(page, "Connected to the cloud");
    const days = page.locator("#days button");
    await until("thirty days", async () => (await days.count()) === 30);
    await days.last().focus();
    await page.keyboard.press("ArrowLeft");
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-pressed")), "true");
    await reads(page.locator("#days-detail"), "nothing is known");
    await days.last().hover();
    await reads(page.locator("#days-detail"), /outage/);
    await days.first().tap();
    await reads(page.locator("#days-detail"), "nothing is known");
    assert.match(await days.last().getAttribute("aria-label"), /^\w{3} \d+ \w+: 1 outage, /);
    await page.context().close();
  },

  async "the page survives a restart of the bridge, and says meanwhile that it is lost"() {
    const page = await open();
    await headline(page, "Connected to the cloud");
    await world.stopBridge();
    await reads(page.locator("#lost"), /has lost the bridge; what you see is of \d\d:\d\d\. It tries again by itself\.$/);
    assert.match(await page.title(), /^⚠ The bridge is not reached/);
    await judge(page, "without the bridge");
    await picture(page, "lost");
    await world.startBridge();
    await page.locator("#lost").waitFor({ state: "hidden", ...LIMIT });
    await headline(page, "Connected to the cloud");
    await until("the outage of before is remembered", async () =>
      (await page.locator("#outages").innerText()).includes("Outage of"));
    await page.context().close();
  },

  async "a refused stream is asked for again, and until then the page asks for the state"() {
    let refused = 0;
    const page = await open({}, (page) => page.route("**/events", (route) =>
      ++refused > 2 ? route.continue() : route.fulfill({ status: 503, body: "too many" })));
    await headline(page, "Connected to the cloud");
    assert.ok(refused < 3, "the state is shown without a stream");
    await until("another attempt", () => refused > 2);
    await page.context().close();
  },

  async "what the cloud says is text, and what it does not say is a dash"() {
    const page = await open({}, pretend((state) => {
      state.heaters[0].name = "<img src=x onerror=alert(1)><b>Boiler</b>";
      for (const name of Object.keys(state.heaters[0].status)) state.heaters[0].status[name] = null;
      Object.assign(state.heaters[1], { status: null, available: false, last_answer_at: null });
      state.events = [{ event: "of_tomorrow", at: state.now, detail: "<script>" }];
      Object.assign(state.connection, { state: "failed", reason: "x", reason_text: "<i>Wrong</i>", detail: "<svg>" });
    }));
    await headline(page, "No connection to the cloud, and the bridge has given up");
    await reads(card(page, 0).locator("h3"), "<img src=x onerror=alert(1)><b>Boiler</b>");
    await says(page.locator("#facts"), "<i>Wrong</i>.");
    await reads(page.locator("#events"), "Of tomorrow");
    for (const index of [0, 1]) {
      assert.deepEqual(await card(page, index).locator("dd").allInnerTexts(), Array(5).fill("–"));
    }
    await says(card(page, 1), "The heater has not answered yet.");
    assert.equal(await page.locator("article :is(img, b:text('Boiler'))").count(), 0);
    await judge(page, "with nothing known");
    assert.deepEqual(page.wrong, []);
    await page.context().close();
  },

  async "the plots stop where nothing was known, and are there in words and as a table"() {
    const [mac] = world.about.heaters;
    const end = Math.floor(Date.now() / 1000);
    const sample = (ago, ...values) => [end - (end % 1800) - ago * 60, ...values]; // so many minutes before a half hour
    const samples = [sample(1500, 1, 1, 1, 1, 1), // older than a day
      sample(600, 120, 100, 125.6, 80, 4), sample(595, 121, 101, 125.6, 81, 480.4),
      sample(300, 119, null, 125.6, 79, 2), sample(295, 118, null, 125.6, 78, 2)];
    const outages = [{ from: end - 36000, to: end - 30000, kind: "outage", reason: "dns", reason_text: "No name" },
      { from: end - 20000, to: end - 19000, kind: "not_running", reason: null, reason_text: null }];
    const page = await open({}, (page) => page.route("**/history", (route) => route.fulfill({ json:
      { heaters: { [mac]: { units: "us", samples } }, outages, known_since: end - 40 * 86400 } })));
    const figure = card(page, 0).locator("figure").first();
    await figure.waitFor(LIMIT);
    assert.equal(await figure.locator("svg[role=img]").getAttribute("aria-label"), "Temperatures, last 24 hours: "
      + "top 118–121 °F, last 118 °F; bottom 100–101 °F, last –; set to 125.6 °F, last 125.6 °F");
    const path = await figure.locator("path.upper").last().getAttribute("d");
    assert.deepEqual([path.split("M").length, path.split("L").length], [3, 3], `two lines of two points: ${path}`);
    const shades = await figure.locator("rect title").allTextContents();
    assert.deepEqual(shades.map((words) => words.split(": ")[1]),
      ["outage of 1 h 40 min. No name.", "the bridge did not run for 17 min."]);
    await until("the value at the pointer", async () => {
      await page.mouse.move(1, 1);
      await figure.locator("svg[role=img]").hover();
      return /^Temperatures, .*\d\d:\d\d\s+top 120 °F/.test(await figure.locator("figcaption").innerText());
    });
    await figure.locator("summary").click();
    assert.match(await figure.locator("tbody").innerText(), /\t120\t100\t125.6\n.*\t119\t–\t125.6/);
    await reads(page.locator("#days-summary"), "1 outage, 1 h 40 min; the bridge did not run for 17 min.");
    assert.equal(await card(page, 1).locator("figure").count(), 0);
    assert.deepEqual(page.wrong, []);
    await page.context().close();
  },

  async "without a script the page says what it needs"() {
    const page = await open({ javaScriptEnabled: false });
    assert.match(await page.locator("noscript p").innerText(LIMIT), /^This page needs JavaScript/);
    assert.deepEqual(page.wrong, []);
    await page.context().close();
  },

  async "phone and desktop, light and dark: nothing is cut off, and axe has no complaint"() {
    for (const [size, viewport] of Object.entries({ phone: PHONE, desktop: DESKTOP })) {
      for (const colorScheme of ["light", "dark"]) {
        const page = await open({ viewport, colorScheme });
        await headline(page, "Connected to the cloud");
        await until("the history", async () => (await page.locator("#days button").count()) === 30);
        await picture(page, `${size}-${colorScheme}`);
        for (const more of await page.locator("summary").all()) await more.click();
        await judge(page, `${size}, ${colorScheme}`);
        assert.deepEqual(page.wrong, []);
        await page.context().close();
      }
    }
  },
};

let failed = 0;
for (const [name, check] of Object.entries(CHECKS)) {
  const begun = Date.now();
  const error = await check().then(() => null, (error) => error);
  console.log(`${error ? "FAILED" : "ok"} ${((Date.now() - begun) / 1000).toFixed(1).padStart(6)} s  ${name}`);
  if (error) {
    failed += 1;
    console.error(error);
    await world.fault({ fault: "clear" }, { fault: "heater", state: "online" });
  }
}
if (failed) world.tellLogs();
await browser.close();
world.end();
console.log(`${Object.keys(CHECKS).length - failed} passed, ${failed} failed; the pictures are in ${pictures}`);
process.exit(failed ? 1 : 0);
