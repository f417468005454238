// The page of the bridge. It listens to the stream /events for what is known now, and reads /history for the plots and
// the strip of days. It only shows: nothing here changes a heater. All text from data becomes text nodes, never markup.
"use strict";
const DAY = 86400; // s
// The words of the page are English, so are its dates; whether hours go to 12 or to 24 is as the reader has it.
const LOCALE = navigator.language.startsWith("en") ? navigator.language : "en-GB";
const HOURS_TO_12 = new Intl.DateTimeFormat(LOCALE, { hour: "numeric" }).resolvedOptions().hour12;
const $ = (id) => document.getElementById(id);
let state = null; // the last object of /events
let past = { heaters: {}, outages: [], known_since: null }; // the last one of /history
let skew = 0; // how far the bridge's clock is ahead of this machine's, ms
const now = () => (Date.now() + skew) / 1000;
const seconds = (time) => Date.parse(time) / 1000;

// Elements. What has not changed is left alone, so that focus, selection and open details survive.
function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
const el = (name, attributes, ...children) => build(document.createElement(name), attributes, children);
const svg = (name, attributes, ...children) =>
  build(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
const copy = (template) => $(template).content.firstElementChild.cloneNode(true);
const say = (node, text) => node.textContent === text || (node.textContent = text);
function fill(node, from, make) {
  const key = JSON.stringify(from);
  if (node.filledFrom === key) return;
  node.filledFrom = key;
  node.replaceChildren(...make());
}

// Numbers and times.
const number = (value, digits = 1) => value.toLocaleString(LOCALE, { maximumFractionDigits: digits });
const known = (value, unit = "", digits = 1) => (typeof value === "number" ? number(value, digits) + unit : "–");
const degrees = (units) => ({ metric: " °C", us: " °F" })[units] ?? "°";
const plain = (word) => (typeof word === "string" ? word.replaceAll("_", " ") : "–");
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const count = (many, word) => `${many === 0 ? "no" : many} ${word}${many === 1 ? "" : "s"}`;
function lasting(s) {
  const whole = Math.max(0, Math.round(s));
  if (s < 9.95) return `${number(Math.max(0, s))} s`;
  if (whole < 60) return `${whole} s`;
  if (whole < 600) return `${Math.floor(whole / 60)} min${whole % 60 ? ` ${whole % 60} s` : ""}`;
  if (whole < 3600) return `${Math.round(whole / 60)} min`;
  const [large, small, words] = whole < 2 * DAY ? [3600, 60, ["h", "min"]] : [DAY, 3600, ["days", "h"]];
  const rest = Math.floor((whole % large) / small);
  return `${Math.floor(whole / large)} ${words[0]}${rest ? ` ${rest} ${words[1]}` : ""}`;
}
function ago(s) {
  if (s < 5) return "just now";
  if (s < 60) return `${Math.floor(s / 5) * 5} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  return s < 2 * DAY ? `${Math.floor(s / 3600)} h ago` : `${Math.floor(s / DAY)} days ago`;
}
function clock(s) {
  const hour = HOURS_TO_12 ? "numeric" : "2-digit";
  return new Date(s * 1000).toLocaleTimeString(LOCALE, { hour, minute: "2-digit" });
}
const day = (s) => new Date(s * 1000).toLocaleDateString(LOCALE, { weekday: "short", day: "numeric", month: "short" });
// The time of day; with the day unless that is today.
const when = (s) => (day(s) === day(now()) ? clock(s) : `${day(s)}, ${clock(s)}`);
// Words that `tick` keeps up to date.
const live = (name, attributes, words) => Object.assign(el(name, { class: "live", ...attributes }, words()), { words });
const relative = (s) => live("span", { title: when(s) }, () => ago(now() - s));

// Words.
const MODES = { energy_saver: "Energy saver", heat_pump: "Heat pump only", electric: "Electric", power_off: "Off" };
const SOURCES = {
  none: "not heating", heat_pump: "heating (heat pump)", heat_element: "heating (electric element)",
  heat_pump_and_element: "heating (heat pump and element)",
};
// Colour and words of what became of a command.
const OUTCOMES = {
  queued: ["", "waits until it can be sent"], sent: ["", "sent; the heater has not answered yet"],
  confirmed: ["good", "✓ done, the heater confirmed it"], rejected: ["bad", "✗ refused"],
  unseen: ["", "the heater accepted it, but does not show it"],
  expired: ["bad", "✗ not sent in time"], failed: ["bad", "✗ no answer; nobody knows whether the heater obeyed"],
};
const mode = (value) => MODES[value] ?? capital(plain(value));
const source = (value) => SOURCES[value] ?? plain(value);
const of = ({ attempt, max_attempts: most }) => (most ? `${attempt} of ${most}` : `${attempt}`);
const because = (event) => event.reason_text ?? event.detail ?? event.reason ?? "the reason is not known";
// The text begins with the code, as the heater's own display writes it: `E799 water leak`.
const errorWords = (code, text) => [`Error ${code}`, text?.replace(/^E\d+ ?/, "")].filter(Boolean).join(": ");
const outcome = ({ status, in_force: inForce }) => (status === "confirmed" && inForce === false ? "unseen" : status);
function commandWords(status, { name, reason }) {
  const what = capital(plain(name).replace(/^tou\b/, "time of use"));
  return `${what}: ${OUTCOMES[status]?.[1] ?? plain(status)}${reason ? ` (${reason})` : ""}`;
}
// Of the connection and of a heater, by name.
const EVENTS = {
  connected: ({ outage_seconds: outage }) =>
    typeof outage === "number" ? `Connected again, after an outage of ${lasting(outage)}` : "Connected to the cloud",
  connection_interrupted: (event) => `Connection to the cloud lost: ${because(event)}`,
  reconnect_attempt: (event) => `Attempt ${of(event)} to connect, in ${lasting(event.delay_ms / 1000)}`,
  reconnection_failed: ({ attempts }) => `Gave up the quick attempts after ${attempts}; recovery begins`,
  recovery_attempt: (event) => `Recovery attempt ${of(event)}, in ${lasting(event.delay_ms / 1000)}`,
  refreshing_tokens: "Renews its sign-in at the cloud", recreating_client: "Builds the connection anew",
  subscriptions_restored: "The line to the cloud is open again; waits for a heater's answer",
  recovered: ({ attempts }) => `Recovery succeeded after ${count(attempts, "attempt")}`,
  network_returned: "The network is back; connects again", session_renewing: "Renews the connection, as planned",
  taken_over: "Another bridge uses the same identity and takes the connection away",
  unstable: "The connection does not hold; waits longer between attempts",
  sign_in_postponed: ({ delay_ms: delay }) => `Waits ${lasting(delay / 1000)} until it may sign in again`,
  heaters_silent: "Connected to the cloud, but no heater answers", failed: (event) => `Gave up: ${because(event)}`,
  mode_changed: ({ old, new: next }) => `Mode changed from ${mode(old)} to ${mode(next)}`,
  powered_off: "Switched off", powered_on: "Switched on",
  temperature_changed: ({ old, new: next, units }) =>
    `Set point changed from ${known(old, degrees(units))} to ${known(next, degrees(units))}`,
  heating_started: ({ new: next }) => `Began ${source(next)}`, heating_stopped: "Stopped heating",
  anti_legionella_started: "Disinfection began (against legionella)", anti_legionella_stopped: "Disinfection ended",
  error_detected: ({ new: code, error_text: text }) => errorWords(code, text),
  error_cleared: ({ old }) => `Error ${old} is over`, leak_detected: "Water leak", leak_cleared: "Water leak is over",
  overflow_detected: "Condensate overflow", overflow_cleared: "Condensate overflow is over",
};
function eventWords(event) {
  if (event.event.startsWith("command_")) return commandWords(event.event.slice(8), event);
  const words = EVENTS[event.event] ?? capital(plain(event.event));
  return typeof words === "string" ? words : words(event);
}
const BAD = /interrupted|failed|detected|rejected|expired|taken_over|unstable|silent/;

// The connection: colour and sign of each state, its headline, and what follows from it.
const STATES = {
  starting: ["wait", "Starting: no heater has answered yet"], connected: ["good", "Connected to the cloud"],
  reconnecting: ["bad", "No connection to the cloud"], stopping: ["wait", "The bridge is being stopped"],
  recovering: ["bad", "No connection to the cloud", "The quick attempts were in vain; it tries more thoroughly now."],
  failed: ["bad stop", "No connection to the cloud, and the bridge has given up", "Nothing more is tried by itself."],
};
function drawConnection() {
  const { connection, local_broker: broker } = state;
  const [sign, headline, more] = STATES[connection.state] ?? STATES.starting;
  const why = connection.state === "connected" ? null : connection.reason_text ?? connection.reason;
  $("connection").className = `card ${sign}`;
  say($("headline"), headline);
  say($("spoken"), `${headline}. ${why ?? ""} ${broker.connected ? "" : "The local broker is not connected."}`);
  fill($("facts"), [connection, broker], () => connectionFacts(connection, broker, why, more));
}
function connectionFacts(connection, broker, why, more) {
  const line = (...parts) => el("p", {}, ...parts);
  const isConnected = connection.state === "connected";
  const since = seconds(connection.outage_since ?? connection.since);
  const howLong = () => (isConnected ? ago(now() - since) : `for ${lasting(Math.round(now() - since))}`);
  const facts = [live("p", {}, () => `Since ${when(since)}, ${howLong()}.`)];
  for (const words of [why && el("strong", {}, `${why}.`), more]) if (words) facts.push(line(words));
  if (connection.next_attempt_at) {
    const left = () => Math.round(seconds(connection.next_attempt_at) - now());
    const begins = () => (left() > 0 ? `in ${lasting(left())}` : "now");
    facts.push(live("p", {}, () => `Attempt ${of(connection)} begins ${begins()}.`));
  } else if (connection.attempt > 0) facts.push(line(`Attempt ${of(connection)} is under way.`));
  if (connection.detail && !isConnected) facts.push(el("p", { class: "detail" }, `In detail: ${connection.detail}`));
  const { sessions, sessions_connected: up } = connection;
  if (sessions) facts.push(line(`${up} of ${sessions} sessions are connected.`));
  facts.push(live("p", {}, lastDay));
  const mqtt = "The home's own message broker (MQTT) is";
  facts.push(broker.connected ? line(`${mqtt} connected.`)
    : line(el("strong", {}, `${mqtt} not connected${broker.trouble ? `: ${broker.trouble}` : ""}.`)));
  return facts;
}
function lastDay() {
  if (past.known_since === null) return "";
  const begin = now() - DAY;
  const since = past.known_since > begin ? `Since ${when(past.known_since)}` : "In the last 24 hours";
  return `${since}: ${summary(begin, now())}.`;
}
function summary(from, to) {
  const [outages, off] = within(from, to);
  const length = (list) => lasting(list.reduce((all, outage) => all + outage.seconds, 0));
  const inAll = outages.length ? `, ${length(outages)}${outages.length > 1 ? " in all" : ""}` : "";
  return count(outages.length, "outage") + inAll + (off.length ? `; the bridge did not run for ${length(off)}` : "");
}
// The outages and the times without the bridge that touch this time, with how many seconds of it each takes.
function within(from, to) {
  const end = ({ to: until }) => until ?? now();
  const touched = past.outages.filter((outage) => outage.from < to && end(outage) > from)
    .map((outage) => ({ ...outage, seconds: Math.min(end(outage), to) - Math.max(outage.from, from) }));
  return [touched.filter(({ kind }) => kind === "outage"), touched.filter(({ kind }) => kind !== "outage")];
}

// The heaters.
const cards = new Map(); // by MAC address
// With the end of its address where another heater has the same name.
function nameOf({ name, mac }) {
  const same = state.heaters.filter((other) => other.name === name).length > 1;
  return name && same ? `${name} (${mac.slice(-4)})` : name || mac;
}
function alarms({ status }) {
  const error = status?.error_code ? errorWords(status.error_code, status.error_text) : "";
  const all = { water_leak: "water leak", condensate_overflow: "condensate overflow", overheat_cut_out: "overheating" };
  const more = Object.keys(all).filter((flag) => status?.[flag] && !error.includes(all[flag]));
  return [error, ...more.map((flag) => capital(all[flag]))].filter(Boolean);
}
const drawAlarms = (node, words) => fill(node, words, () => words.map((alarm) => el("li", {}, alarm)));
function drawHeaters({ heaters }) {
  const all = heaters.flatMap((heater) => alarms(heater).map((alarm) => `${nameOf(heater)}: ${alarm}`));
  drawAlarms($("alarms"), all);
  const gone = [...cards.keys()].filter((mac) => !heaters.some((heater) => heater.mac === mac));
  gone.forEach((mac) => cards.get(mac).remove() ?? cards.delete(mac));
  $("no-heater").hidden = heaters.length > 0;
  for (const heater of heaters) {
    if (!cards.has(heater.mac)) {
      $("heaters").append(cards.set(heater.mac, copy("heater")).get(heater.mac));
      drawPlots(heater.mac);
    }
    drawHeater(cards.get(heater.mac), heater);
  }
}
function drawHeater(card, heater) {
  const status = heater.status ?? {};
  const unit = degrees(status.units);
  say(card.querySelector("h3"), nameOf(heater));
  card.classList.toggle("silent", !heater.available);
  drawTank(card.querySelector(".tank"), status, unit);
  const vacation = status.dhw_operation_setting === "vacation"
    ? `, day ${known(status.vacation_day_elapsed)} of ${known(status.vacation_day_setting)}` : "";
  const facts = {
    set: known(status.dhw_temperature_setting, unit), mode: mode(status.dhw_operation_setting) + vacation,
    doing: capital(source(status.heat_source)), power: known(status.current_inst_power, " W", 0),
    use: { true: "Yes", false: "No" }[status.dhw_use] ?? "–",
  };
  for (const [name, value] of Object.entries(facts)) say(card.querySelector(`dd.${name}-now`), value);
  drawAlarms(card.querySelector(".alarms"), alarms(heater));
  const last = heater.last_answer_at && seconds(heater.last_answer_at);
  fill(card.querySelector(".heard"), [heater.available, last, day(now())], () => {
    if (!last) return ["The heater has not answered yet."];
    if (heater.available) return ["Last heard ", relative(last), "."];
    return [`⚠ The heater does not answer. What you see is of ${when(last)}, `, relative(last), "."];
  });
}

// Hot water lies on top of cold water; the fan turns while the heat pump works, an element is lit while it heats.
function drawTank(tank, status, unit) {
  const [top, bottom] = [known(status.tank_upper_temperature, unit), known(status.tank_lower_temperature, unit)];
  const charge = known(status.dhw_charge_per, " %", 0);
  for (const [name, words] of Object.entries({ top, bottom, big: charge })) say(tank.querySelector(`.${name}`), words);
  tank.querySelector(".hot").setAttribute("height", 1.46 * Math.min(100, Math.max(0, status.dhw_charge_per ?? 0)));
  tank.querySelector(".cold").classList.toggle("empty", charge === "–");
  tank.querySelectorAll("[data-on]").forEach((part) => part.classList.toggle("on", status[part.dataset.on] === true));
  tank.setAttribute("aria-label", `Tank: top ${top}, bottom ${bottom}, ${charge} of the hot water that it can hold`);
}

// The plots of the last 24 hours: each line with its name, its look, and its place in a sample.
const PLOTS = [
  { title: "Temperatures", unit: degrees, digits: 1, range: [],
    lines: [["top", "upper", 1], ["bottom", "lower", 2], ["set to", "set", 3]] },
  { title: "Hot water", unit: () => " %", digits: 0, range: [0, 100], lines: [["charge", "charge", 4]] },
  { title: "Power", unit: () => " W", digits: 0, range: [0, 100], lines: [["power", "power", 5]] },
];
function drawPlots(mac) {
  const { units, samples = [] } = past.heaters[mac] ?? {};
  const node = cards.get(mac).querySelector(".plots");
  if (node.drawn?.past === past && node.drawn.width === node.clientWidth) return; // so that a pointer stays where it is
  node.drawn = { past, width: node.clientWidth };
  const end = now();
  const recent = samples.filter(([at]) => at > end - DAY);
  node.querySelector(".quiet").hidden = recent.length > 12;
  if (recent.length === 0) return node.querySelectorAll("figure").forEach((figure) => figure.remove());
  PLOTS.forEach((plot, index) => {
    const figure = node.querySelectorAll("figure")[index] ?? node.appendChild(copy("plot"));
    say(figure.querySelector("summary"), `${plot.title} as a table`);
    drawPlot(figure, plot, plot.unit(units), recent, end);
  });
}

// Steps of 1, 2, 2.5 or 5 times a power of ten, at most four of them.
function scale(values, range) {
  let [min, max] = [Math.min(...values, ...range), Math.max(...values, ...range)];
  if (!(max - min >= 4)) [min, max] = values.length ? [min - 2, max + 2] : [0, 4];
  const power = 10 ** Math.floor(Math.log10((max - min) / 4));
  const step = [1, 2, 2.5, 5, 10].map((times) => times * power).find((size) => (max - min) / size <= 4);
  return [Math.floor(min / step) * step, Math.ceil(max / step) * step, step];
}
const numbers = (samples, index) => samples.map((sample) => sample[index]).filter((value) => typeof value === "number");

function drawPlot(figure, plot, unit, samples, end) {
  const drawing = figure.querySelector(":scope > svg");
  const [width, height, left, top] = [drawing.clientWidth || 320, drawing.clientHeight || 152, 42, 8];
  const [right, bottom] = [width - 8, height - 22];
  const [min, max, step] = scale(plot.lines.flatMap(([, , index]) => numbers(samples, index)), plot.range);
  const x = (at) => left + ((Math.max(at, end - DAY) - end + DAY) / DAY) * (right - left);
  const y = (value) => top + ((max - value) / (max - min)) * (bottom - top);
  const line = (style, d) => svg("path", { class: style, d });
  const text = (at, high, anchor, words) => svg("text", { x: at, y: high, "text-anchor": anchor }, words);
  const parts = within(end - DAY, end).flat().map((outage) => {
    const [from, to] = [x(outage.from), x(outage.to ?? end)];
    const place = { x: from, width: Math.max(2, to - from), y: top, height: bottom - top };
    return svg("rect", { class: outage.kind, ...place }, svg("title", {}, outageWords(outage).join(": ")));
  });
  for (let value = min; value <= max + step / 2; value += step) {
    parts.push(line("grid", `M${left} ${y(value)}H${right}`), text(left - 6, y(value) + 4, "end", number(value)));
  }
  const hours = width > 420 ? 3 : 6;
  const tick = new Date((end - DAY) * 1000);
  tick.setHours((Math.floor(tick.getHours() / hours) + 1) * hours, 0, 0, 0);
  for (; tick / 1000 < end; tick.setHours(tick.getHours() + hours)) {
    const at = x(tick / 1000);
    const hour = HOURS_TO_12 ? tick.toLocaleTimeString(LOCALE, { hour: "numeric" }) : clock(tick / 1000);
    parts.push(line("grid", `M${at} ${top}V${bottom}`));
    if (at > left + 14 && at < right - 14) parts.push(text(at, height - 6, "middle", hour));
  }
  for (const [, look, index] of plot.lines) parts.push(line(`lines ${look}`, path(samples, index, x, y)));
  const cursor = line("cursor", "");
  drawing.replaceChildren(...parts, cursor);
  const title = `${plot.title}, last 24 hours`;
  const value = (sample) => (index) => known(sample[index], unit, plot.digits);
  const all = (index) => spread(numbers(samples, index), unit, plot.digits);
  const words = plot.lines.map(([name, , index]) => `${name} ${all(index)}, last ${value(samples.at(-1))(index)}`);
  build(drawing, { viewBox: `0 0 ${width} ${height}`, "aria-label": `${title}: ${words.join("; ")}` }, []);
  caption(figure, plot, title, all);
  drawing.onpointermove = drawing.onpointerdown = ({ offsetX }) => {
    const [nearest] = [...samples].sort((a, b) => Math.abs(x(a[0]) - offsetX) - Math.abs(x(b[0]) - offsetX));
    cursor.setAttribute("d", `M${x(nearest[0])} ${top}V${bottom}`);
    caption(figure, plot, `${plot.title}, ${when(nearest[0])}`, value(nearest));
  };
  drawing.onpointerleave = () => cursor.setAttribute("d", "") ?? caption(figure, plot, title, all);
  fill(figure.querySelector(".scroll"), [samples, unit, day(end)], () => [dataTable(plot, unit, samples)]);
}

// A line that stops where nothing was known for 12 minutes; a sample alone between two gaps is a dot.
function path(samples, index, x, y) {
  let [d, last] = ["", -Infinity];
  for (const sample of samples.filter((sample) => typeof sample[index] === "number")) {
    const to = `${x(sample[0]).toFixed(1)} ${y(sample[index]).toFixed(1)}`;
    d += sample[0] - last > 720 ? `M${to}h.01` : `L${to}`;
    last = sample[0];
  }
  return d;
}
function spread(values, unit, digits) {
  const [low, high] = [Math.min(...values), Math.max(...values)].map((value) => known(value, "", digits));
  return values.length === 0 ? "–" : (low === high ? high : `${low}–${high}`) + unit;
}
function caption(figure, plot, title, value) {
  const dash = (look) => svg("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" },
    svg("path", { class: `lines ${look}`, d: "M2 5h22" }));
  const key = ([name, look, index]) => el("span", { class: "key" }, dash(look), `${name} `, el("b", {}, value(index)));
  figure.querySelector("figcaption").replaceChildren(el("strong", {}, title), ...plot.lines.map(key));
}
function dataTable(plot, unit, samples) {
  const half = ([at]) => Math.floor(at / 1800);
  const row = (cell, attributes, parts) => el("tr", {}, ...parts.map((part) => el(cell, attributes, part)));
  const head = row("th", { scope: "col" }, ["time", ...plot.lines.map(([name]) => `${name},${unit}`)]);
  const rows = samples.filter((sample, i) => i === 0 || half(sample) !== half(samples[i - 1]))
    .map((sample) => [when(sample[0]), ...plot.lines.map(([, , index]) => known(sample[index], "", plot.digits))])
    .map((cells) => row("td", {}, cells));
  return el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows));
}

// The last 30 days.
let chosen = 29; // the day that is told in words; 29 is today
function outageWords({ from, to, kind, reason_text: text, reason }) {
  const length = to === null ? `${lasting(now() - from)} until now` : lasting(to - from);
  const why = text || reason || "The reason is not known";
  const what = kind === "outage" ? `outage of ${length}. ${why}` : `the bridge did not run for ${length}`;
  return [day(from) === day(now()) ? `Today, ${clock(from)}` : when(from), `${what}.`];
}
function bounds(index) {
  const today = new Date(now() * 1000);
  const midnight = (ahead) => new Date(today.getFullYear(), today.getMonth(), today.getDate() + ahead) / 1000;
  return [midnight(index - 29), midnight(index - 28)];
}
const firstKnown = (from) => Math.max(from, past.known_since ?? Infinity);
function drawDays() {
  const [from, end] = [bounds(0)[0], now()];
  while ($("days").children.length < 30) $("days").append(newDay($("days").children.length));
  [...$("days").children].forEach(({ firstChild: button }, index) => drawDay(button, ...bounds(index), end));
  choose(chosen);
  say($("days-summary"), `${capital(dayWords(from, end, when))}.`);
  const list = within(firstKnown(from), end).flat().sort((a, b) => b.from - a.from);
  longList($("outages"), list, 3, "", (outage) => {
    const [at, words] = outageWords(outage);
    return el("li", {}, el("span", { class: "quiet" }, at), el("span", {}, capital(words)));
  });
}
function newDay(index) {
  const item = copy("day");
  for (const kind of ["pointerenter", "focus", "click"]) item.firstChild.addEventListener(kind, () => choose(index));
  item.addEventListener("keydown", ({ key }) => {
    const next = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: 29 }[key];
    $("days").children[next]?.firstChild.focus();
  });
  return item;
}
function drawDay(button, from, to, end) {
  const y = (at) => (48 * (Math.min(Math.max(at, from), to) - from)) / (to - from);
  const bar = (kind, start, stop, least) => svg("rect",
    { class: kind, width: 10, y: Math.min(y(start), 48 - least), height: Math.max(least, y(stop) - y(start)) });
  const touched = within(firstKnown(from), to).flat();
  fill(button.firstChild, [from, past.known_since, touched, Math.floor(end / 600)], () => [
    bar("unknown", from, to, 0), bar("up", firstKnown(from), end, 0),
    ...touched.map((outage) => bar(outage.kind, outage.from, outage.to ?? end, 3))]);
  say(button.lastChild, String(new Date(from * 1000).getDate()));
  button.setAttribute("aria-label", `${day(from)}: ${dayWords(from, to)}`);
}
function dayWords(from, to, time = clock) {
  if (firstKnown(from) >= to) return "nothing is known";
  const before = firstKnown(from) > from ? `; nothing is known before ${time(past.known_since)}` : "";
  return summary(firstKnown(from), to) + before;
}
function choose(index) {
  chosen = index;
  [...$("days").children].forEach(({ firstChild: button }, at) => // the arrow keys go to the others
    build(button, { "aria-pressed": at === index, tabindex: at === index ? 0 : -1 }, []));
  const [from, to] = bounds(index);
  const touched = within(firstKnown(from), to).flat().map((outage) => outageWords(outage).join(": "));
  const words = [touched.length === 1 ? "" : `${dayWords(from, to)}. `, touched.join(" ")];
  fill($("days-detail"), [from, words], () => [el("strong", {}, `${day(from)}: `), ...words]);
}

// What has happened, and the commands: the first ones, and the others on demand, which survives a redraw.
function longList(node, items, first, none, make) {
  fill(node, [items, day(now())], () => {
    const list = (part) => el("ul", { class: "list", role: "list" }, ...part.map(make));
    const rest = items.slice(first);
    const open = node.querySelector("details")?.open ? { open: "" } : {};
    if (items.length === 0) return none ? [el("p", { class: "quiet" }, none)] : [];
    const more = el("details", open, el("summary", {}, `${rest.length} more`), list(rest));
    return rest.length > 0 ? [list(items.slice(0, first)), more] : [list(items)];
  });
}
function drawLists({ heaters, events }) {
  const named = (list) => heaters.flatMap((heater) => heater[list].map((item) => ({ ...item, who: nameOf(heater) })));
  const newest = (list) => list.sort((a, b) => Date.parse(b.at) - Date.parse(a.at));
  const line = (colour, words, { who, at }) => el("li", {}, el("span", { class: "quiet" }, relative(seconds(at))),
    el("span", {}, el("span", { class: colour }, words), " ", el("span", { class: "quiet" }, who ? `– ${who}` : "")));
  const tells = ({ event }, i, all) => !event.endsWith("_attempt") || all[i - 1]?.event !== event; // the newest
  const happened = newest([...named("events"), ...events]).filter(tells);
  longList($("events"), happened, 6, "Nothing yet.", (event) =>
    line(BAD.test(event.event) ? "bad" : "", eventWords(event), event));
  const commands = newest(named("commands"));
  longList($("commands"), commands, 6, "None yet.", (item) =>
    line(OUTCOMES[outcome(item)]?.[0] ?? "", commandWords(outcome(item), item), item));
}

// The stream.
let stream = null;
let heard = null; // when the bridge was last heard, by this machine's clock
let broken = Date.now(); // since when it has not been heard, or null
function show(text) {
  const before = state;
  state = JSON.parse(text);
  if (before && before.version !== state.version) location.reload(); // the page belongs to the version
  [heard, broken, skew] = [Date.now(), null, Date.parse(state.now) - Date.now()];
  say($("bridge"), `navien2mqtt ${state.version}, running since ${when(seconds(state.started_at))}`);
  const [old, fresh] = [before, state].map((each) => each && `${each.connection.state} ${each.connection.outages}`);
  // What has just been asked for is answered as it was, for half a second.
  if (before && old !== fresh) setTimeout(readPast, 1000);
  for (const draw of [drawConnection, drawHeaters, drawLists]) {
    // What one part cannot show does not keep the others from being shown.
    try { draw(state); } catch (error) { console.error(error); }
  }
  tick();
}
async function read(what) {
  const answer = await fetch(what, { cache: "no-store", signal: AbortSignal.timeout(15000) });
  if (!answer.ok) throw new Error(`${what}: ${answer.status}`);
  return answer.text();
}
async function readPast() {
  if (document.hidden) return;
  past = JSON.parse(await read("history").catch(() => null)) ?? past; // the stream tells whether the bridge is there
  [...cards.keys()].forEach(drawPlots);
  drawDays();
  tick();
}
function listen() {
  stream?.close();
  stream = new EventSource("events");
  stream.addEventListener("open", readPast);
  stream.addEventListener("state", ({ data }) => show(data));
  stream.addEventListener("error", () => {
    broken ??= Date.now();
    // A refusal ends an EventSource for good; a stream that breaks comes back by itself.
    if (stream.readyState === EventSource.CLOSED) setTimeout(lookAgain, 5000);
    tick();
  });
}
// Asks once, and listens afresh.
const lookAgain = () => read("state").then(show).catch(() => (broken ??= Date.now())).then(listen);

// The one timer: times in words, and whether the bridge is still heard. It rests while nobody looks.
let timer = null;
function tick() {
  clearTimeout(timer);
  if (document.hidden) return;
  document.querySelectorAll(".live").forEach((node) => say(node, node.words()));
  const lost = broken !== null && Date.now() - broken > 6000;
  const since = heard ? `has lost the bridge; what you see is of ${clock(heard / 1000)}` : "does not reach the bridge";
  $("lost").hidden = !lost;
  document.body.classList.toggle("lost", lost);
  const headline = lost ? "The bridge is not reached" : $("headline").textContent;
  document.title = `${!lost && state?.connection.state === "connected" ? "✓" : "⚠"} ${headline} – navien2mqtt`;
  say($("lost"), lost ? `This page ${since}. It tries again by itself.` : "");
  if (broken === null && Date.now() - heard > 150000) { // so quiet that it may be dead
    broken = Date.now();
    lookAgain();
  }
  timer = setTimeout(tick, broken !== null || state.connection.state !== "connected" ? 1000 : 5000);
}

listen();
tick();
setInterval(readPast, 300000);
document.addEventListener("visibilitychange", tick);
document.addEventListener("visibilitychange", readPast);
new ResizeObserver(() => [...cards.keys()].forEach(drawPlots)).observe($("heaters"));
