// The page of the bridge. It listens to the stream /events for what is known now, and reads /history for the plots and
// the strip of days. It only shows: nothing here changes a heater. All text from data becomes text nodes, never markup.
"use strict";

const DAY = 86400;
// The words of the page are English, so are its dates; whether hours go to 12 or to 24 is as the reader has it.
const LOCALE = navigator.language.startsWith("en") ? navigator.language : "en-GB";
const HOURS_TO_12 = new Intl.DateTimeFormat(LOCALE, { hour: "numeric" }).resolvedOptions().hour12;
const $ = (id) => document.getElementById(id);

let state = null; // the last object of /events
let past = { heaters: {}, outages: [], known_since: null }; // the last one of /history
let skew = 0; // how far the bridge's clock is ahead of this machine's, ms
let chosenDay = 29; // the day of the strip that is told in words; 29 is today
const cards = new Map(); // the heaters' cards by their MAC address

// Elements.

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}
const el = (name, attributes, ...children) => build(document.createElement(name), attributes, children);
const svg = (name, attributes, ...children) =>
  build(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

// What has not changed is left alone, so that focus, selection and open details survive.
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
function fill(node, from, make) {
  const key = JSON.stringify(from);
  if (node.filledFrom !== key) {
    node.filledFrom = key;
    node.replaceChildren(...make());
  }
}

// Words and numbers.

const now = () => Date.now() + skew;
const seconds = (time) => Date.parse(time) / 1000;
const number = (value, digits = 1) => value.toLocaleString(LOCALE, { maximumFractionDigits: digits });
const known = (value, unit, digits) => (typeof value === "number" ? number(value, digits) + unit : "–");
const degrees = (units) => (units === "metric" ? " °C" : units === "us" ? " °F" : "°");
const plain = (word) => (typeof word === "string" ? word.replaceAll("_", " ") : "–");
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const count = (how_many, one, many = one + "s") => `${how_many === 0 ? "no" : how_many} ${how_many === 1 ? one : many}`;

function lasting(s) {
  const whole = Math.max(0, Math.round(s));
  if (s < 9.95) return `${number(Math.max(0, s))} s`;
  if (whole < 60) return `${whole} s`;
  if (whole < 600) return `${Math.floor(whole / 60)} min` + (whole % 60 ? ` ${whole % 60} s` : "");
  if (whole < 3600) return `${Math.round(whole / 60)} min`;
  const [large, small] = whole < 2 * DAY ? [3600, 60] : [DAY, 3600];
  const rest = Math.floor((whole % large) / small);
  return `${Math.floor(whole / large)} ${large === DAY ? "days" : "h"}` + (rest ? ` ${rest} ${large === DAY ? "h" : "min"}` : "");
}
function ago(s) {
  if (s < 5) return "just now";
  if (s < 60) return `${Math.floor(s / 5) * 5} s ago`;
  if (s < 5400) return `${Math.floor(s / 60)} min ago`;
  return s < 2 * DAY ? `${Math.floor(s / 3600)} h ago` : `${Math.floor(s / DAY)} days ago`;
}
function clock(s, withSeconds) {
  const options = { hour: HOURS_TO_12 ? "numeric" : "2-digit", minute: "2-digit", ...(withSeconds && { second: "2-digit" }) };
  return new Date(s * 1000).toLocaleTimeString(LOCALE, options);
}
const day = (s) => new Date(s * 1000).toLocaleDateString(LOCALE, { weekday: "short", day: "numeric", month: "short" });
// The time of day; with the day unless that is today.
const when = (s) => (day(s) === day(now() / 1000) ? clock(s) : `${day(s)}, ${clock(s)}`);
function relative(s) {
  return el("time", { datetime: new Date(s * 1000).toISOString(), title: `${day(s)}, ${clock(s, true)}` }, ago(now() / 1000 - s));
}

const MODES = {
  standby: "Standby", heat_pump: "Heat pump only", electric: "Electric only", energy_saver: "Energy saver (eco)",
  high_demand: "High demand", vacation: "Vacation", power_off: "Off", off: "Off",
};
const SOURCES = {
  none: "not heating", heat_pump: "heating with the heat pump", heat_element: "heating with an electric element",
  heat_pump_and_element: "heating with heat pump and element",
};
const STRATEGIES = {
  "simple-retry": "by connecting again and again", "full-recreation": "by building the connection anew",
  "token-refresh": "by signing in afresh", "exponential-backoff": "with growing pauses",
};
const OUTCOMES = {
  queued: ["", "waits until it can be sent"], sent: ["", "sent; the heater has not answered yet"],
  confirmed: ["good", "✓ done, the heater confirmed it"], rejected: ["bad", "✗ refused"],
  expired: ["bad", "✗ not sent in time"], failed: ["bad", "✗ no answer; nobody knows whether the heater obeyed"],
};
const mode = (value) => MODES[value] ?? capital(plain(value));
const source = (value) => SOURCES[value] ?? plain(value);
const command = (name) => ({ tou: "Time of use", tou_schedule: "Time-of-use schedule" })[name] ?? capital(plain(name));
const because = (event) => event.reason_text ?? event.detail ?? event.reason;

const EVENTS = {
  connected: (e) => (e.outage_seconds === null || e.outage_seconds === undefined ? "Connected to the cloud"
    : `Connected again, after an outage of ${lasting(e.outage_seconds)}`),
  connection_interrupted: (e) => `Connection to the cloud lost: ${because(e)}`,
  reconnect_attempt: (e) => `Attempt ${of(e)} to connect, in ${lasting(e.delay_ms / 1000)}`,
  reconnection_failed: (e) => `Gave up the quick attempts after ${e.attempts}; recovery begins`,
  recovery_attempt: (e) => `Recovery attempt ${of(e)}, in ${lasting(e.delay_ms / 1000)}`,
  refreshing_tokens: () => "Renews its sign-in at the cloud",
  recreating_client: () => "Builds the connection anew",
  subscriptions_restored: () => "The line to the cloud is open again; waits for a heater's answer",
  recovered: (e) => `Recovery succeeded after ${count(e.attempts, "attempt")}`,
  network_returned: () => "The network is back; connects again",
  session_renewing: () => "Renews the connection, as planned",
  taken_over: () => "Another bridge uses the same identity and takes the connection away",
  unstable: () => "The connection does not hold; waits longer between attempts",
  sign_in_postponed: (e) => `Waits ${lasting(e.delay_ms / 1000)} until it may sign in again`,
  heaters_silent: () => "Connected to the cloud, but no heater answers",
  failed: (e) => `Gave up: ${because(e)}`,
  mode_changed: (e) => `Mode changed from ${mode(e.old)} to ${mode(e.new)}`,
  powered_off: () => "Switched off",
  powered_on: () => "Switched on",
  vacation_started: () => "Vacation began",
  vacation_ended: () => "Vacation ended",
  temperature_changed: (e) => `Set point changed from ${known(e.old, degrees(e.units))} to ${known(e.new, degrees(e.units))}`,
  heating_started: (e) => `Began ${source(e.new)}`,
  heating_stopped: () => "Stopped heating",
  anti_legionella_started: () => "Disinfection began (against legionella)",
  anti_legionella_stopped: () => "Disinfection ended",
  error_detected: (e) => `Error ${e.new}${e.error_text ? `: ${e.error_text}` : ""}`,
  error_cleared: (e) => `Error ${e.old} is over`,
  leak_detected: () => "Water leak!",
  leak_cleared: () => "The water leak is over",
  overflow_detected: () => "The condensate overflows!",
  overflow_cleared: () => "The condensate no longer overflows",
  command_rejected: (e) => `Command refused: ${command(e.name)}${e.reason ? ` (${e.reason})` : ""}`,
  command_failed: (e) => `Command without an answer: ${command(e.name)}${e.reason ? ` (${e.reason})` : ""}`,
  command_expired: (e) => `Command not sent in time: ${command(e.name)}${e.reason ? ` (${e.reason})` : ""}`,
};
const BAD = /interrupted|failed|detected|rejected|expired|taken_over|unstable|silent/;
const of = ({ attempt, max_attempts }) => (max_attempts ? `${attempt} of ${max_attempts}` : `${attempt}`);

// The connection.

const SIGNS = {
  good: "M12 2a10 10 0 1 0 .01 0zM7.5 12.5l3 3 6-6.5", bad: "M12 2.5 22.5 21h-21zM12 9.5v5M12 17.8v.01",
  wait: "M12 2a10 10 0 1 0 .01 0zM12 6.5V12l4 2.5", stop: "M8 2h8l6 6v8l-6 6H8l-6-6V8zM9 9l6 6M15 9l-6 6",
};
const HEADLINES = {
  starting: ["wait", "wait", "Starting: no heater has answered yet"], connected: ["good", "good", "Connected to the cloud"],
  reconnecting: ["bad", "bad", "No connection to the cloud"], recovering: ["bad", "bad", "No connection to the cloud"],
  failed: ["bad", "stop", "No connection to the cloud, and the bridge has given up"],
  stopping: ["wait", "wait", "The bridge is being stopped"],
};

function drawConnection({ connection, local_broker: broker }) {
  const [colour, sign, headline] = HEADLINES[connection.state] ?? ["wait", "wait", capital(plain(connection.state))];
  const why = connection.state === "connected" ? null : connection.reason_text ?? connection.reason;
  $("connection").className = `card ${colour}`;
  fill($("sign"), sign, () => [svg("path", { d: SIGNS[sign] })]);
  say($("headline"), headline);
  say($("spoken"), `${headline}.${why ? ` ${why}.` : ""}${broker.connected ? "" : " The local broker is not connected."}`);
  document.title = `${colour === "good" ? "✓" : "⚠"} ${headline} – navien2mqtt`;
  fill($("facts"), [connection, broker, past.outages, Math.floor(now() / 60000)], () => connectionFacts(connection, broker, why));
}

function connectionFacts(connection, broker, why) {
  const facts = [];
  const since = seconds(connection.outage_since ?? connection.since);
  if (connection.state === "connected") facts.push(el("p", {}, `Since ${when(since)}, `, relative(since), "."));
  else facts.push(el("p", {}, el("span", { "data-since": since }), `, since ${when(since)}.`));
  if (why) facts.push(el("p", {}, el("strong", {}, `${why}.`)));
  if (connection.state === "failed") facts.push(el("p", {}, "Nothing more is tried until somebody sees to it."));
  else if (connection.state === "recovering")
    facts.push(el("p", {}, `The quick attempts were in vain; it now tries ${STRATEGIES[connection.strategy] ?? connection.strategy}.`));
  if (connection.next_attempt_at)
    facts.push(el("p", { "data-until": seconds(connection.next_attempt_at), "data-attempt": of(connection) }));
  else if (connection.attempt > 0) facts.push(el("p", {}, `Attempt ${of(connection)} is under way.`));
  if (connection.detail && connection.state !== "connected") facts.push(el("p", { class: "quiet" }, `In detail: ${connection.detail}`));
  facts.push(el("p", {}, lastDay()));
  if (broker.connected) facts.push(el("p", {}, "The home's own message broker (MQTT) is connected."));
  else facts.push(el("p", {}, el("strong", {}, `The home's own message broker (MQTT) is not connected${broker.trouble ? `: ${broker.trouble}` : ""}.`)));
  return facts;
}

function lastDay() {
  const from = now() / 1000 - DAY;
  if (past.known_since === null) return "";
  const [outages, off] = within(from, now() / 1000);
  const begin = past.known_since > from ? `since ${when(past.known_since)}` : "in the last 24 hours";
  return `${capital(summary(outages, off))} ${begin}.`;
}
function summary(outages, off) {
  const sum = (list) => list.reduce((all, { seconds }) => all + seconds, 0);
  const words = count(outages.length, "outage") + (outages.length ? `, ${lasting(sum(outages))}${outages.length > 1 ? " in all" : ""}` : "");
  return words + (off.length ? `; the bridge did not run for ${lasting(sum(off))}` : "");
}
// The outages and the times without the bridge that touch this time, with how many seconds of it each takes.
function within(from, to) {
  const touched = past.outages
    .map((outage) => ({ ...outage, seconds: Math.min(outage.to ?? now() / 1000, to) - Math.max(outage.from, from) }))
    .filter((outage) => outage.seconds >= 0 && outage.from < to && (outage.to ?? Infinity) > from);
  return [touched.filter(({ kind }) => kind === "outage"), touched.filter(({ kind }) => kind !== "outage")];
}

// The heaters.

function drawHeaters(heaters) {
  for (const [mac, card] of cards) if (!heaters.some((heater) => heater.mac === mac)) cards.delete(mac) && card.remove();
  fillMessage($("heaters"), heaters.length === 0, "The bridge knows of no heater yet.");
  for (const heater of heaters) {
    if (!cards.has(heater.mac)) {
      cards.set(heater.mac, $("heater").content.firstElementChild.cloneNode(true));
      $("heaters").append(cards.get(heater.mac));
      drawPlots(heater.mac);
    }
    drawHeater(cards.get(heater.mac), heater);
  }
}
function fillMessage(node, needed, text) {
  if (!needed) node.querySelector(":scope > .quiet")?.remove();
  else if (!node.querySelector(":scope > .quiet")) node.prepend(el("p", { class: "card quiet" }, text));
}

function drawHeater(card, heater) {
  const status = heater.status ?? {};
  const unit = degrees(status.units);
  say(card.querySelector("h3"), heater.name || heater.mac);
  card.classList.toggle("silent", !heater.available);
  drawTank(card.querySelector(".tank"), status, unit);
  const vacation = status.dhw_operation_setting === "vacation" && typeof status.vacation_day_setting === "number"
    ? `, day ${known(status.vacation_day_elapsed, "")} of ${status.vacation_day_setting}` : "";
  const facts = [
    ["Set to", known(status.dhw_temperature_setting, unit)], ["Mode", mode(status.dhw_operation_setting) + vacation],
    ["Doing now", capital(source(status.heat_source))], ["Power", known(status.current_inst_power, " W", 0)],
    ["Hot water in use", typeof status.dhw_use === "boolean" ? (status.dhw_use ? "Yes" : "No") : "–"],
  ];
  fill(card.querySelector("dl"), facts, () => facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
  const alarms = [];
  if (status.water_leak) alarms.push("Water leak");
  if (status.condensate_overflow) alarms.push("The condensate overflows");
  if (status.overheat_cut_out) alarms.push("Switched itself off because of overheating");
  if (status.error_code) alarms.push(`Error ${status.error_code}${status.error_text ? `: ${status.error_text}` : ""}`);
  fill(card.querySelector(".alarms"), alarms, () => alarms.map((alarm) => el("li", {}, alarm)));
  const heard = heater.last_answer_at && seconds(heater.last_answer_at);
  fill(card.querySelector(".heard"), [heater.available, heard, day(now() / 1000)], () => {
    if (!heard) return ["The heater has not answered yet."];
    if (heater.available) return ["The heater answers: last heard ", relative(heard), "."];
    return ["⚠ The heater does not answer: last heard ", relative(heard), `, at ${when(heard)}. What you see is of then.`];
  });
}

// Hot water lies on top of cold water; the fan turns while the heat pump works, an element is lit while it heats.
function drawTank(node, status, unit) {
  const shown = ["tank_upper_temperature", "tank_lower_temperature", "dhw_charge_per", "comp_use", "heat_upper_use", "heat_lower_use"];
  fill(node, [shown.map((name) => status[name]), unit], () => {
    const [upper, lower, charge, pump, ...elements] = shown.map((name) => status[name]);
    const isKnown = typeof charge === "number";
    const level = 52 + (146 * (isKnown ? Math.min(100, Math.max(0, charge)) : 0)) / 100;
    const words = `Tank: top ${known(upper, unit)}, bottom ${known(lower, unit)}, ${known(charge, " %", 0)} of the hot water that it can hold`;
    node.setAttribute("aria-label", words);
    const on = (is, name) => ({ class: `${name} ${is === true ? "on" : ""}` });
    const zigzag = (is, y) => svg("path", { ...on(is, "part"), d: `M112 ${y}h-16l-4-5-6 10-6-10-4 5h-4` });
    return [
      svg("rect", { class: isKnown ? "cold" : "empty", x: 8, y: 52, width: 104, height: 146, rx: 14 }),
      svg("rect", { class: "hot", x: 8, y: 52, width: 104, height: level - 52, "clip-path": "url(#tank-shape)" }),
      svg("rect", { class: "wall", x: 8, y: 52, width: 104, height: 146, rx: 14 }),
      svg("path", { class: "wall", d: "M18 52V18q0-12 12-12h60q12 0 12 12v34M16 198v8M104 198v8" }),
      svg("circle", { class: "part", cx: 60, cy: 29, r: 17 }),
      svg("g", on(pump, "fan"), svg("circle", { class: "part", cx: 60, cy: 29, r: 14, "stroke-opacity": 0 }),
        svg("path", { ...on(pump, "part"), d: "M60 29q-1-8 5-11M60 29q8-1 11 5M60 29q1 8-5 11M60 29q-8 1-11-5" })),
      zigzag(elements[0], 102), zigzag(elements[1], 168),
      svg("text", { x: 60, y: 75 }, known(upper, unit)), svg("text", { class: "big", x: 60, y: 132 }, known(charge, " %", 0)),
      svg("text", { class: "small", x: 60, y: 147 }, "hot water"), svg("text", { x: 60, y: 191 }, known(lower, unit)),
    ];
  });
}

// The plots of the last 24 hours.

const PLOTS = [
  { title: "Temperatures", unit: degrees, lines: [["top", "upper", 1], ["bottom", "lower", 2], ["set to", "set", 3]] },
  { title: "Hot water", unit: () => " %", low: 0, high: 100, lines: [["charge", "charge", 4]] },
  { title: "Power", unit: () => " W", low: 0, high: 100, lines: [["power", "power", 5]] },
];
const GAP = 12 * 60; // between samples, s; they come every five minutes

function drawPlots(mac) {
  const { units, samples = [] } = past.heaters[mac] ?? {};
  const node = cards.get(mac)?.querySelector(".plots");
  if (!node) return;
  const end = now() / 1000;
  const recent = samples.filter(([at]) => at > end - DAY);
  fillMessage(node, recent.length === 0, "The plots of the last 24 hours begin with the first sample; one is taken every five minutes.");
  node.querySelectorAll("figure").forEach((figure) => (figure.hidden = recent.length === 0));
  if (recent.length === 0) return;
  for (const plot of PLOTS) {
    let figure = node.querySelector(`[data-plot="${plot.title}"]`);
    if (!figure) node.append((figure = newFigure(plot.title)));
    drawPlot(figure, plot, plot.unit(units), recent, end);
  }
}

function newFigure(title) {
  const rows = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${title}, every half hour` });
  const table = el("details", {}, el("summary", {}, `${title} as a table`), rows);
  const figure = el("figure", { "data-plot": title }, el("figcaption"), svg("svg", { role: "img" }), table);
  table.addEventListener("toggle", () => table.open && figure.fillTable?.());
  figure.lastChild.previousSibling.addEventListener("pointermove", (event) => figure.point?.(event.offsetX));
  figure.lastChild.previousSibling.addEventListener("pointerleave", () => figure.point?.(null));
  return figure;
}

// Steps of 1, 2 or 5 times a power of ten, at most four of them.
function scale(values, low, high) {
  let [min, max] = [Math.min(...values, low ?? Infinity), Math.max(...values, high ?? -Infinity)];
  if (max - min < 4) [min, max] = [min - 2, max + 2];
  const power = 10 ** Math.floor(Math.log10((max - min) / 4));
  const step = [1, 2, 2.5, 5, 10].map((times) => times * power).find((size) => (max - min) / size <= 4);
  return { min: Math.floor(min / step) * step, max: Math.ceil(max / step) * step, step };
}

function drawPlot(figure, plot, unit, samples, end) {
  const drawing = figure.querySelector(":scope > svg");
  const [width, height, left, right, top, bottom] = [drawing.clientWidth || 320, drawing.clientHeight || 152, 42, 8, 8, 22];
  const values = plot.lines.flatMap(([, , index]) => samples.map((sample) => sample[index])).filter((value) => typeof value === "number");
  const { min, max, step } = scale(values.length ? values : [0, 1], plot.low, plot.high);
  const x = (at) => left + ((at - end + DAY) / DAY) * (width - left - right);
  const y = (value) => top + ((max - value) / (max - min)) * (height - top - bottom);
  const parts = [];
  for (const outage of within(end - DAY, end).flat()) {
    const from = x(Math.max(outage.from, end - DAY));
    const size = { x: from, width: Math.max(2, x(outage.to ?? end) - from), y: top, height: height - top - bottom };
    parts.push(svg("rect", { class: outage.kind, ...size }, svg("title", {}, outageWords(outage))));
  }
  for (let value = min; value <= max + step / 2; value += step) {
    parts.push(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
    parts.push(svg("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, number(value)));
  }
  const hours = width > 420 ? 3 : 6;
  const tick = new Date((end - DAY) * 1000);
  for (tick.setHours(Math.ceil((tick.getHours() + 0.01) / hours) * hours, 0, 0, 0); tick < end * 1000; tick.setHours(tick.getHours() + hours)) {
    const at = x(tick / 1000);
    const hour = tick.toLocaleTimeString(LOCALE, HOURS_TO_12 ? { hour: "numeric" } : { hour: "2-digit", minute: "2-digit" });
    parts.push(svg("line", { class: "grid", x1: at, x2: at, y1: top, y2: height - bottom }));
    if (at > left + 14 && at < width - right - 14) parts.push(svg("text", { x: at, y: height - 6, "text-anchor": "middle" }, hour));
  }
  for (const [, name, index] of plot.lines) parts.push(svg("path", { class: `lines ${name}`, d: path(samples, index, x, y) }));
  const cursor = svg("line", { class: "cursor", y1: top, y2: height - bottom, visibility: "hidden" });
  drawing.replaceChildren(...parts, cursor);
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  drawing.setAttribute("aria-label", `${plot.title} in the last 24 hours: ` + plot.lines.map((line) => inWords(line, samples, unit)).join("; "));
  caption(figure, plot, unit, samples.at(-1), null);
  figure.point = (offset) => {
    const nearest = (best, sample) => (Math.abs(x(sample[0]) - offset) < Math.abs(x(best[0]) - offset) ? sample : best);
    const sample = offset === null ? samples.at(-1) : samples.reduce(nearest);
    build(cursor, { x1: x(sample[0]), x2: x(sample[0]), visibility: offset === null ? "hidden" : "visible" }, []);
    caption(figure, plot, unit, sample, offset === null ? null : sample[0]);
  };
  figure.fillTable = () => fill(figure.querySelector(".scroll"), samples, () => [dataTable(plot, unit, samples)]);
  if (figure.querySelector("details").open) figure.fillTable();
}

// A line that stops where nothing was known; a sample alone between two gaps is a dot.
function path(samples, index, x, y) {
  let [d, last] = ["", -Infinity];
  for (const [at, value] of samples.map((sample) => [sample[0], sample[index]])) {
    if (typeof value !== "number") last = -Infinity;
    else {
      const to = `${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
      d += at - last > GAP ? `M${to}h.01` : `L${to}`;
      last = at;
    }
  }
  return d;
}
function inWords([name, , index], samples, unit) {
  const values = samples.map((sample) => sample[index]).filter((value) => typeof value === "number");
  if (values.length === 0) return `${name} not known`;
  return `${name} from ${number(Math.min(...values))} to ${number(Math.max(...values))}, last ${number(values.at(-1))}${unit}`;
}
function caption(figure, plot, unit, sample, at) {
  fill(figure.querySelector("figcaption"), [sample, at, unit], () => [
    el("strong", {}, at === null ? `${plot.title}, last 24 hours` : `${plot.title} at ${when(at)}`),
    ...plot.lines.map(([name, style, index]) => el("span", { class: "key" },
      svg("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" }, svg("path", { class: `lines ${style}`, d: "M2 5h22" })),
      `${name} `, el("b", {}, known(sample[index], unit)))),
  ]);
}
function dataTable(plot, unit, samples) {
  const rows = samples.filter(([at], i) => i === 0 || Math.floor(at / 1800) !== Math.floor(samples[i - 1][0] / 1800));
  return el("table", {},
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "time"), ...plot.lines.map(([name]) => el("th", { scope: "col" }, name + unit.replace(" ", ", "))))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, el("td", {}, when(row[0])), ...plot.lines.map(([, , index]) => el("td", {}, known(row[index], "")))))));
}

// The last 30 days.

function outageWords({ from, to, kind, reason_text, reason }) {
  const how_long = to === null ? `${lasting(now() / 1000 - from)} until now` : lasting(to - from);
  return kind === "outage" ? `${when(from)}: no connection for ${how_long}. ${reason_text ?? reason ?? "The reason is not known"}.`
    : `${when(from)}: the bridge did not run for ${how_long}.`;
}
function dayBounds(index) {
  const start = new Date(now());
  start.setHours(0, 0, 0, 0);
  start.setDate(start.getDate() - 29 + index);
  const from = start / 1000;
  start.setDate(start.getDate() + 1);
  return [from, start / 1000];
}

function drawDays() {
  const begin = past.known_since ?? Infinity;
  const end = now() / 1000;
  for (let index = 0; index < 30; index++) {
    if (!$("days").children[index]) $("days").append(newDay(index));
    const button = $("days").children[index].firstChild;
    const [from, to] = dayBounds(index);
    const y = (at) => (48 * (Math.min(Math.max(at, from), to) - from)) / (to - from);
    const bar = (kind, start, stop, least) => svg("rect", { class: kind, x: 0, width: 10, y: Math.min(y(start), 48 - least), height: Math.max(least, y(stop) - y(start)) });
    const touched = within(Math.max(from, begin), to).flat();
    fill(button.firstChild, [from, begin, touched, Math.floor(end / 600)], () => [
      bar("unknown", from, to, 0), bar("up", Math.max(from, begin), end, 0),
      ...touched.map((outage) => bar(outage.kind, outage.from, outage.to ?? end, 3)),
    ]);
    say(button.lastChild, String(new Date(from * 1000).getDate()));
    button.setAttribute("aria-label", `${day(from)}: ${dayWords(from, to)}`);
  }
  chooseDay(chosenDay);
  const [outages, off] = within(Math.max(begin, dayBounds(0)[0]), end);
  const longest = outages.length > 1 ? `; the longest took ${lasting(Math.max(...outages.map(({ from, to }) => (to ?? end) - from)))}` : "";
  const since = begin > dayBounds(0)[0] ? ` Nothing is known before ${when(begin)}.` : "";
  say($("days-summary"), past.known_since === null ? "Nothing is known yet." : `${capital(summary(outages, off))}${longest}.${since}`);
  drawOutages([...outages, ...off].sort((a, b) => b.from - a.from));
}
function newDay(index) {
  const button = el("button", { type: "button", "aria-describedby": "days-detail" },
    svg("svg", { viewBox: "0 0 10 48", preserveAspectRatio: "none", "aria-hidden": "true" }), el("span", {}));
  for (const kind of ["pointerenter", "focus", "click"]) button.addEventListener(kind, () => chooseDay(index));
  button.addEventListener("keydown", ({ key }) => {
    const next = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: 29 }[key];
    $("days").children[next]?.firstChild.focus();
  });
  return el("li", {}, button);
}
function dayWords(from, to) {
  const begin = past.known_since ?? Infinity;
  if (begin >= to) return "nothing is known";
  const [outages, off] = within(Math.max(from, begin), to);
  return summary(outages, off) + (begin > from ? `; nothing is known before ${clock(begin)}` : "");
}
function chooseDay(index) {
  chosenDay = index;
  [...$("days").children].forEach(({ firstChild: button }, at) => {
    button.setAttribute("aria-pressed", at === index);
    button.tabIndex = at === index ? 0 : -1; // the arrow keys go to the others
  });
  const [from, to] = dayBounds(index);
  const touched = within(from, to).flat();
  fill($("days-detail"), [from, dayWords(from, to), touched], () => [
    el("strong", {}, `${day(from)}: `), `${dayWords(from, to)}. `, touched.map(outageWords).join(" ")]);
}
function drawOutages(outages) {
  longList($("outages"), [outages, day(now() / 1000)], outages, 3, "earlier outages", (outage) => el("li", {}, outageWords(outage)));
}

// Shows the first ones; the others on demand. Whether they are shown survives a redraw.
function longList(node, from, items, first, more, make) {
  fill(node, from, () => {
    const open = node.querySelector("details")?.open;
    const rest = items.slice(first);
    const parts = [el("ul", { class: "list", role: "list" }, ...items.slice(0, first).map(make))];
    if (rest.length) parts.push(el("details", open ? { open: "" } : {}, el("summary", {}, `${rest.length} ${more}`), el("ul", { class: "list", role: "list" }, ...rest.map(make))));
    return parts;
  });
}

// What has happened, and the commands.

function drawLists({ heaters, events }) {
  const named = (list) => heaters.flatMap((heater) => heater[list].map((item) => ({ ...item, who: heater.name || heater.mac })));
  const newest = (list) => list.sort((a, b) => Date.parse(b.at) - Date.parse(a.at));
  const line = (colour, text, { who, at }) => el("li", {}, el("span", { class: colour }, text), " ",
    el("span", { class: "who" }, who ? `${who}, ` : ""), relative(seconds(at)));
  const happened = newest([...named("events"), ...events]);
  longList($("events"), happened, happened, 6, "earlier ones", (event) =>
    line(BAD.test(event.event) ? "bad" : "", EVENTS[event.event]?.(event) ?? capital(plain(event.event)), event));
  const commands = newest(named("commands"));
  longList($("commands"), commands, commands, 6, "earlier ones", (item) => {
    const [colour, words] = OUTCOMES[item.status] ?? ["", plain(item.status)];
    return line(colour, `${command(item.name)}: ${words}${item.reason ? ` (${item.reason})` : ""}`, item);
  });
  fillMessage($("events"), happened.length === 0, "Nothing since the bridge began.");
  fillMessage($("commands"), commands.length === 0, "None since the bridge began.");
}

// The stream.

let stream = null;
let heard = null; // when the bridge was last heard, by this machine's clock
let broken = Date.now(); // since when it is not heard

function show(text) {
  const before = state?.connection;
  state = JSON.parse(text);
  [heard, broken, skew] = [Date.now(), null, Date.parse(state.now) - Date.now()];
  const { connection } = state;
  say($("bridge"), `navien2mqtt ${state.version}, running since ${when(seconds(state.started_at))}`);
  if (before && (before.state !== connection.state || before.outages !== connection.outages)) readPast();
  drawConnection(state);
  drawHeaters(state.heaters);
  drawLists(state);
  tick();
}
async function read(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(15000) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.text();
}
function readPast() {
  return read("history").then((text) => {
    past = JSON.parse(text);
    drawPast();
  }, () => {}); // the stream tells whether the bridge is there
}
function drawPast() {
  cards.forEach((_, mac) => drawPlots(mac));
  drawDays();
  if (state) drawConnection(state);
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
// Without a stream, or with one that has long been quiet (it may be dead): asks.
function lookAgain() {
  return read("state").then(show, () => (broken ??= Date.now())).then(listen);
}

// The one timer: times in words, and whether the bridge is still heard. It rests while nobody looks.
let timer = null;
function tick() {
  clearTimeout(timer);
  if (document.hidden) return;
  const at = now() / 1000;
  document.querySelectorAll("time").forEach((time) => say(time, ago(at - seconds(time.dateTime))));
  document.querySelectorAll("[data-since]").forEach((node) => say(node, `For ${lasting(Math.round(at - node.dataset.since))}`));
  document.querySelectorAll("[data-until]").forEach((node) => {
    const left = Math.round(node.dataset.until - at);
    say(node, `Attempt ${node.dataset.attempt} begins ${left > 0 ? `in ${lasting(left)}` : "now"}.`);
  });
  const lost = broken !== null && Date.now() - broken > 6000;
  if (lost) say($("lost"), heard ? `This page has lost the bridge; what you see is of ${clock(heard / 1000)}. It tries again by itself.` : "The bridge does not answer. This page tries again by itself.");
  $("lost").hidden = !lost;
  const counts = broken !== null || (state && state.connection.state !== "connected");
  timer = setTimeout(tick, counts ? 1000 : 5000);
}
function everyMinute() {
  if (document.hidden) return;
  if (stream.readyState === EventSource.OPEN && Date.now() - heard > 150000) lookAgain();
  if (state) drawConnection(state);
}

listen();
tick();
setInterval(everyMinute, 60000);
setInterval(() => document.hidden || readPast(), 300000);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  tick();
  readPast();
});
new ResizeObserver(() => cards.forEach((_, mac) => drawPlots(mac))).observe($("heaters"));
