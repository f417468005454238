// Draws docs/pictures/page.png: the real bridge with simulated heaters and an invented history.
// Usage: scripts/try-page picture
import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { World, until } from "./world.mjs";

const [program, chromiumPath, modules] = process.argv.slice(2).map((path) => resolve(path));
const { chromium } = createRequire(`${modules}/package.json`)("playwright-core");
const HOUR = 3600;
const now = Math.floor(Date.now() / 1000);
const at = (hoursAgo) => new Date((now - hoursAgo * HOUR) * 1000).toISOString().replace(/\.\d+/, "");

const gap = (hoursAgo, minutes, reason, reason_text) =>
  ({ from: now - hoursAgo * HOUR, to: now - hoursAgo * HOUR + minutes * 60, reason, reason_text });
const gaps = [
  gap(641, 2, "connection-lost", "The connection was lost"), gap(508, 41, "dns", "The cloud's name cannot be looked up"),
  gap(402, 190, null, null), gap(247, 1, "keep-alive", "Nothing was received for too long"),
  gap(101, 68, "http-503", "The cloud is in trouble"), gap(11, 19, "dns", "The cloud's name cannot be looked up"),
];

// Water is drawn so many hours ago; the heat pump brings the tank back in three hours.
function samples(draws, { top, bottom, set, charge }) {
  const last = Math.floor(now / 300) * 300;
  return Array.from({ length: 286 }, (_, i) => {
    const time = last - (286 - i) * 300;
    const used = draws.map(([hours, much]) => {
      const since = (time - now) / HOUR + hours;
      if (since < -0.75 || since > 3) return 0;
      return much * (since < 0 ? 1 + since / 0.75 : (1 - since / 3) ** 1.4);
    }).reduce((all, one) => Math.max(all, one), 0);
    const power = used > 0.02 ? 455 + 60 * used : 4;
    return { at: time, means: [top - 6 * used, bottom - 26 * used, set, charge - 60 * used, power] };
  }).filter((sample) => !gaps.some(({ from, to }) => sample.at + 300 > from && sample.at < to));
}
const world = await World.begin(program, ({ folder, about: { heaters: [first, second] } }) => {
  mkdirSync(`${folder}/state`, { mode: 0o700 });
  const event = (event, hoursAgo, more) => ({ event, event_type: event, at: at(hoursAgo), ...more });
  writeFileSync(`${folder}/state/history.json`, JSON.stringify({
    known_since: now - 30 * 24 * HOUR,
    at: now,
    ended: true,
    samples: {
      [first]: samples([[15.2, 1], [4, 0.7]], { top: 49.8, bottom: 46.5, set: 52, charge: 98 }),
      [second]: samples([[14, 0.6], [9, 0.3], [3, 0.85]], { top: 50.2, bottom: 48.9, set: 52, charge: 97 }),
    },
    gaps,
    commands: { [first]: [{ name: "mode", status: "confirmed", at: at(0.4) }] },
    events: {
      [first]: [event("heating_stopped", 1, { old: "heat_pump", new: "none" }),
        event("mode_changed", 0.4, { old: "heat_pump", new: "energy_saver" })],
      [second]: [event("heating_stopped", 0.2, { old: "heat_pump", new: "none" })],
    },
    bridge_events: [event("connected", 10.7, { outage_seconds: 19 * 60 })],
  }), { mode: 0o600 });
});
const browser = await chromium.launch({ executablePath: chromiumPath, args: ["--no-sandbox"] });
const options = { viewport: { width: 1280, height: 900 }, colorScheme: "light", timezoneId: "America/New_York" };
const page = await browser.newPage({ ...options, reducedMotion: "reduce" });
await page.goto(world.url);
await until("both heaters with their plots", async () => (await page.locator("figure").count()) === 6);
const { y, height } = await page.locator("section", { hasText: "30 days" }).boundingBox();
const clip = { x: 0, y: 0, width: options.viewport.width, height: y + height + 16 };
await page.screenshot({ path: "docs/pictures/page.png", fullPage: true, clip });
await browser.close();
world.end();
