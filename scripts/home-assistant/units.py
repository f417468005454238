"""Changes the units under a real Home Assistant with its recorder on, in every way that users do.

Called by `run`; about seven minutes, most of them waiting for the statistics, which Home Assistant computes every five. A press
on the heater, a restart of the bridge with another configuration, the same while Home Assistant is stopped, and while it has no
connection to the broker: each both ways. Afterwards no state and no row of the statistics may be a number of the old unit under
the new one.
"""
import argparse, json, os, shutil, signal, sqlite3, time

import judge
from frontend import fault

# Into °C, K, L and L/min.
FACTORS = {"L": 1, "gal": 3.785411784, "L/min": 1, "gal/min": 3.785411784}
# How far a value may be from those that the heater told: a number under the wrong unit is further.
ROOM = {"temperature": 0.6, "temperature_delta": 0.2, "water": 0.1, "volume_flow_rate": 0.1}
# Litres that the meter may count meanwhile.
GROWTH = 100
# Home Assistant has read everything once more by then: five seconds, and time to read it.
SETTLED = 9
STATISTICS_EVERY = 300


def canonical(value, kind, unit):
    value = float(value)
    if kind == "temperature":
        return (value - 32) / 1.8 if unit == "°F" else value
    if kind == "temperature_delta":
        return value / 1.8 if unit == "°F" else value
    return value * FACTORS[unit]


UNITS = {"temperature": ("°C", "°F"), "temperature_delta": ("K", "°F"), "water": ("L", "gal"), "volume_flow_rate": ("L/min", "gal/min")}


class Changes:
    """The ways in which units change, with what Home Assistant sees of it."""

    def __init__(self, world, judged):
        self.world, self.ha = world, judged.ha
        self.config = open(f"{world.folder}/config.toml").read()

    def press(self, celsius):
        fault(self.world, {"fault": "display", "index": 0, "celsius": celsius})

    def configure(self, units):
        self.world.daemon.send_signal(signal.SIGTERM)
        self.world.daemon.wait(10)
        with open(f"{self.world.folder}/config.toml", "w") as f:
            f.write(f'units = "{units}"\n{self.config}')
        self.world.bridge()

    def stopped(self, units):
        self.ha.stop()
        self.configure(units)
        self.wait_for(units)
        self.ha.start()

    def disconnected(self, units):
        relay = self.ha.relays[0]
        broker, relay.target = relay.target, ("127.0.0.1", 1)
        for end in list(relay.live):
            try:
                end.shutdown(2)
            except OSError:
                pass
        self.configure(units)
        self.wait_for(units)
        relay.target = broker
        time.sleep(15)  # Home Assistant tries again every ten seconds

    def wait_for(self, units):
        self.world.read(f"navien2mqtt/{self.world.macs[0]}/status", f'"units":"{units}"')


def enable_all(judged):
    for entity in judged.ha.ws.get("config/entity_registry/list"):
        if entity["platform"] == "mqtt" and entity["disabled_by"]:
            judged.ha.ws.get("config/entity_registry/update", entity_id=entity["entity_id"], disabled_by=None)
    judged.ha.http("POST", f"/api/config/config_entries/entry/{judged.entry_id}/reload", {})


def measured(judged):
    """The entities whose value depends on the units, and now have one, with their class."""
    states = {s["entity_id"]: s for s in judged.ha.ws.get("get_states")}
    kinds = {entity: state["attributes"].get("device_class") for entity, state in states.items()}
    return {entity: kind for entity, kind in kinds.items()
            if kind in ROOM and states[entity]["state"] not in ("unknown", "unavailable")}


def places(judged, entities):
    """Where the value of each entity stands: its heater, the member, and the class."""
    found = {}
    for entity, kind in entities.items():
        unique = judged.ha.ws.get("config/entity_registry/get", entity_id=entity)["unique_id"]
        _, mac, key = unique.split("_", 2)
        found[entity] = mac, "dhw_temperature_setting" if key == "temperature" else key, kind
    return found


def told(messages, places):
    """From the lowest to the highest value that the heater told of each entity, in whichever units it was."""
    ranges = {}
    for message in messages:
        _, mac, name = (message["topic"].split("/") + ["", ""])[:3]
        if name in ("status", "info") and message["payload"]:
            values = json.loads(message["payload"])
            for entity, (of, key, kind) in places.items():
                if of == mac and values.get(key) is not None:
                    value = canonical(values[key], kind, UNITS[kind][values["units"] == "us"])
                    low, high = ranges.get(entity, (value, value))
                    ranges[entity] = min(low, value), max(high, value)
    return ranges


def changes(world, judged):
    """Makes every change; returns the entities with a unit, what was told of them, and what is missing after a change."""
    judged.ha.start()
    judged.wait_device()
    enable_all(judged)
    time.sleep(SETTLED)
    before, problems = measured(judged), []
    where = places(judged, before)
    change = Changes(world, judged)
    steps = [(change.press, True), (change.press, False)]
    for way in (change.configure, change.stopped, change.disconnected):
        steps += [(way, "metric"), (way, "us")]
    for way, to in steps:
        time.sleep(1)
        way(to)
        time.sleep(SETTLED)
        missing = sorted(set(before) - set(measured(judged)))
        print(f"{way.__name__} {to}: {len(before) - len(missing)} of {len(before)} values are there", flush=True)
        problems += [f"after {way.__name__} {to}: no value of {', '.join(missing)}"] if missing else []
    time.sleep(STATISTICS_EVERY - time.time() % STATISTICS_EVERY + 20)
    return before, told(judged.rec.since(0), where), problems


def recorded(path):
    """Every number that the recorder has kept: where, entity, unit, value."""
    with sqlite3.connect(path) as db:
        states = db.execute("select m.entity_id, s.state, a.shared_attrs from states s join states_meta m using (metadata_id)"
                            " left join state_attributes a using (attributes_id)")
        for entity, state, attributes in states.fetchall():
            if state not in (None, "", "unknown", "unavailable"):
                yield "state", entity, json.loads(attributes or "{}").get("unit_of_measurement"), state
        for table in ("statistics_short_term", "statistics"):
            rows = db.execute(f"select m.statistic_id, m.unit_of_measurement, s.mean, s.min, s.max, s.state from {table} s"
                              " join statistics_meta m on m.id = s.metadata_id")
            for entity, unit, *values in rows.fetchall():
                yield from ((table, entity, unit, value) for value in values if value is not None)
            sums = db.execute(f"select m.statistic_id, m.unit_of_measurement, max(s.sum) - min(min(s.sum), 0) from {table} s"
                              " join statistics_meta m on m.id = s.metadata_id where s.sum is not null group by 1, 2")
            yield from (("growth", *row) for row in sums.fetchall())


def look_through(path, kinds, ranges):
    """Returns what is wrong with what was recorded, by entity, and how many numbers of which kind were looked at."""
    wrong, seen = {}, {}
    for where, entity, unit, value in recorded(path):
        if entity not in ranges:
            continue
        kind = kinds[entity]
        number = canonical(value, kind, unit)
        low, high = (0, GROWTH) if where == "growth" else ranges[entity]
        seen[where] = seen.get(where, 0) + 1
        if not low - ROOM[kind] <= number <= high + ROOM[kind]:
            wrong.setdefault((where, entity), []).append(f"{value} {unit}")
    return [f"{where} of {entity}: {', '.join(values[:5])} ({len(values)} in all); the heater told {ranges[entity]}"
            for (where, entity), values in wrong.items()], seen


def check(make_world):
    """Returns 0 when no number was read under a unit that is not its own."""
    world = make_world()
    judged = judge.Judge(argparse.Namespace(port=world.port, wait=60, min_entities=200, settle=2))
    try:
        world.read(f"homeassistant/device/navien2mqtt_{world.macs[0]}/config", "cmps")
        judged.rec = judge.Recorder(judged.a)
        kinds, ranges, problems = changes(world, judged)
        judged.ha.stop()
        numbers, seen = look_through(os.path.join(judged.run_dir, "home-assistant_v2.db"), kinds, ranges)
    finally:
        judged.ha.stop()
        if judged.rec:
            judged.rec.stop()
        shutil.rmtree(judged.run_dir, ignore_errors=True)
        world.end()
    problems += numbers
    for kind in ("state", "statistics_short_term", "growth"):
        problems += [] if seen.get(kind) else [f"nothing was recorded: {kind}"]
    print(f"Units: {len(ranges)} entities, looked at {seen}, {len(problems)} problems")
    for problem in problems:
        print("PROBLEM " + problem)
    return 1 if problems else 0
