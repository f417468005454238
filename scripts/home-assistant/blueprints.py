"""Triggers every blueprint in a real Home Assistant, and lets each recover from outages. `run` calls it.

Six simulated heaters, one for each automation of a heater (*away* has two) with the scripts on the first. The signals are MQTT entities, so
that they change while Home Assistant, the bridge or the cloud is away.
"""
import json, os, re, shutil, signal, subprocess, tempfile, time, urllib.request

import judge

HERE = os.path.dirname(os.path.abspath(__file__))
BLUEPRINTS = os.path.join(os.path.dirname(os.path.dirname(HERE)), "packaging/home-assistant/blueprints")
# A command is too old before the cloud's outage is over, and an outage so short makes no heater unavailable.
COMMANDS = '[commands]\nmax_age = "10s"\n'
SIGNALS = {"peak": "binary_sensor", "ahead": "binary_sensor", "lesson": "binary_sensor", "surplus": "sensor", "phone": "device_tracker"}
CONFIGURATION = """automation: !include automations.yaml
script: !include scripts.yaml
input_boolean:
  away_by_person:
  away_by_zone:
person:
  - id: anna
    name: Anna
    device_trackers: [device_tracker.phone]
"""
USUAL, LOW, HIGH = 50, 42, 60
# An alert goes on although a notification cannot be sent; this action is refused.
FAILING = {"action": "number.set_value", "target": {"entity_id": "number.simulated_heater_1_vacation_days"}, "data": {"value": 500}}
# The heater of each automation.
AUTOMATIONS = LEAK, DEMAND, SOLAR, SCHEDULED, PERSON, ZONE = range(6)


def heater(number):
    return f"water_heater.simulated_heater_{number + 1}"


class House:
    """Home Assistant with its blueprints, beside a world's broker."""

    def __init__(self, world):
        self.world, self.problems, self.done = world, [], 0
        self.folder = tempfile.mkdtemp(prefix="run-", dir=judge.LAB)
        shutil.copytree(os.path.join(judge.TEMPLATE, ".storage"), os.path.join(self.folder, ".storage"))
        judge.write_config(self.folder, None)
        for kind in ("automation", "script"):
            shutil.copytree(os.path.join(BLUEPRINTS, kind), os.path.join(self.folder, "blueprints", kind, "navien2mqtt"))
            self.write(f"{kind}s.yaml", [] if kind == "automation" else {})
        # Half an hour of a silent signal is too long for a test.
        patient = os.path.join(self.folder, "blueprints/automation/navien2mqtt/demand_response.yaml")
        with open(patient) as f:
            text = f.read()
        with open(patient, "w") as f:
            f.write(text.replace("minutes: 30", "seconds: 3").replace("minutes=30", "seconds=3"))
        with open(os.path.join(self.folder, "configuration.yaml"), "a") as f:
            f.write(CONFIGURATION)
        self.ha = judge.HA(self.folder, judge.free_port(), ("127.0.0.1", world.port))
        with open(os.path.join(judge.TEMPLATE, "token")) as f:
            self.ha.token = f.read().strip()
        with open(os.path.join(judge.TEMPLATE, "meta.json")) as f:
            self.known = {message for _, _, message in json.load(f)["baseline"]}
        self.told = judge.Recorder(world)

    def write(self, name, content):
        with open(os.path.join(self.folder, name), "w") as f:
            json.dump(content, f)  # JSON is YAML

    def state(self, entity, attribute=None):
        found = next((s for s in self.ha.ws.get("get_states") if s["entity_id"] == entity), None)
        return None if found is None else found["attributes"].get(attribute) if attribute else found["state"]

    def act(self, service, target=None, **data):
        domain, name = service.split(".")
        target = {"target": {"entity_id": target}} if target else {}
        return self.ha.ws.call("call_service", domain=domain, service=name, service_data=data, **target)[1]

    def answer(self, script, **fields):
        """Runs a script and returns what it answers."""
        said, error = self.ha.ws.call("call_service", domain="script", service=script, service_data=fields, return_response=True)
        return error or said["response"]

    def signal(self, name, value):
        if name == "phone":
            value = json.dumps({"latitude": 52.0 if value == "home" else 50.0, "longitude": 4.9, "gps_accuracy": 10})
        subprocess.run(["mosquitto_pub", "-p", str(self.world.port), "-r", "-t", f"signals/{name}", "-m", str(value)], check=True)

    def fault(self, **fault):
        body = json.dumps(fault).encode()
        request = urllib.request.Request(self.world.about["control_url"] + "/faults", body, {"content-type": "application/json"})
        urllib.request.urlopen(request, timeout=10).close()

    def expect(self, words, met, within=30):
        def good():
            try:
                return met()
            except (IndexError, KeyError, TypeError):  # what is looked at is not there yet
                return False
        began = time.time()
        while not (is_good := good()) and time.time() - began < within:
            time.sleep(0.1)
        self.done += 1
        print(f"{'ok    ' if is_good else 'FAILED'} {time.time() - began:5.1f} s  {words}", flush=True)
        if not is_good:
            self.problems.append(f"blueprint: {words}")

    def never(self, words, wrong, during=4):
        end, seen = time.time() + during, False
        while not seen and time.time() < end:
            seen = wrong()
            time.sleep(0.1)
        self.expect(words, lambda: not seen, 0)

    def target(self, number):
        return self.state(heater(number), "temperature")

    def is_set(self, number, degrees):
        target = self.target(number)
        return target is not None and abs(target - degrees) < 0.5

    def notified(self):
        return [n["message"] for n in self.ha.ws.get("persistent_notification/get") if n["notification_id"].startswith("navien2mqtt_")]

    def messages(self, since=0):
        return [m["payload"] for m in self.told.since(since) if m["topic"] == "signals/alert"]

    def wait_for_entities(self):
        self.expect("Home Assistant has the heaters and the signals", lambda: all(
            self.state(e) not in (None, "unavailable", "unknown") for e in
            [*map(heater, AUTOMATIONS), *(f"{domain}.{name}" for name, domain in SIGNALS.items()), "person.anna"]), 60)

    def complaints(self):
        """What Home Assistant has logged, besides what it logs when it idles."""
        for entry in self.ha.log():
            first = entry["message"].splitlines()[0]
            if "number.simulated_heater_1_vacation_days" in entry["message"]:
                continue  # of FAILING
            if entry["level"] in ("WARNING", "ERROR", "CRITICAL") and re.sub(r"\d+", "#", first) not in self.known:
                yield f"blueprints: log {entry['level']} [{entry['logger']}] {entry['message'][:600]}"

    def end(self):
        self.ha.stop()
        self.told.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def discover_signals(house):
    for name, domain in SIGNALS.items():
        config = {"name": name, "unique_id": name, "default_entity_id": f"{domain}.{name}", "state_topic": f"signals/{name}"}
        if name == "surplus":
            config.update(device_class="power", unit_of_measurement="W")
        elif name == "phone":
            config["json_attributes_topic"] = config.pop("state_topic")  # a zone counts who has a position
        subprocess.run(["mosquitto_pub", "-p", str(house.world.port), "-r", "-t", f"homeassistant/{domain}/{name}/config",
                        "-m", json.dumps(config)], check=True)
    for name, value in {"peak": "OFF", "ahead": "OFF", "lesson": "OFF", "surplus": 0, "phone": "home"}.items():
        house.signal(name, value)


def instances(house):
    """An automation of each blueprint, and the scripts."""
    short = {"seconds": 3}

    def automation(blueprint, **inputs):
        return {"id": f"{blueprint}_{len(all_)}", "alias": f"{blueprint} {len(all_)}",
                "use_blueprint": {"path": f"navien2mqtt/{blueprint}.yaml", "input": inputs}}
    all_ = []
    sensors = [e["entity_id"] for e in house.ha.ws.get("config/entity_registry/list")
               if e.get("unique_id", "").startswith(f"navien2mqtt_{house.world.macs[LEAK]}_")
               and e["unique_id"].endswith(("wtr_ovr_sensor_use", "con_ovr_sensor_use"))]
    all_.append(automation("leak_alert", sensors=sensors, every=short, switch_off=[heater(LEAK)],
                           tell=[{"action": "mqtt.publish", "data": {"topic": "signals/alert", "payload": "{{ message }}"}},
                                 FAILING]))
    all_.append(automation("demand_response", heater=heater(DEMAND), peak="binary_sensor.peak", ahead=["binary_sensor.ahead"],
                           usual=USUAL, low=LOW, high=HIGH))
    all_.append(automation("solar_surplus", heater=heater(SOLAR), surplus="sensor.surplus", lasting=short, high=HIGH, usual=USUAL))
    all_.append(automation("scheduled_set_point", heater=heater(SCHEDULED), schedule="binary_sensor.lesson", during=HIGH,
                           otherwise=LOW))
    for number, people, away in ((PERSON, "person.anna", "person"), (ZONE, "zone.home", "zone")):
        all_.append(automation("away", heater=heater(number), people=people, after=short, days=10,
                               length=f"number.simulated_heater_{number + 1}_vacation_days", away=f"input_boolean.away_by_{away}"))
    all_.append(automation("bridge_alert", connection="sensor.navien_bridge_cloud_connection", reason="sensor.navien_bridge_reason",
                           away_for=short))
    house.write("automations.yaml", all_)
    device = next(d["id"] for d in house.ha.ws.get("config/device_registry/list")
                  if ["mqtt", f"navien2mqtt_{house.world.macs[0]}"] in d["identifiers"])
    scripts = {name.removesuffix(".yaml"): {"use_blueprint": {"path": f"navien2mqtt/{name}", "input": {"heater": device}}}
               for name in os.listdir(os.path.join(BLUEPRINTS, "script"))}
    house.write("scripts.yaml", scripts)
    for kind in ("automation", "script"):
        house.act(f"{kind}.reload")
        listed = house.ha.ws.get("blueprint/list", domain=kind)
        house.expect(f"every blueprint of a {kind} is read", lambda: all("error" not in b for b in listed.values()), 0)
    running = [s["entity_id"] for s in house.ha.ws.get("get_states") if s["entity_id"].startswith("automation.") and s["state"] == "on"]
    house.expect("every automation is in force", lambda: len(running) == len(all_), 0)


def confirmed(answer):
    return answer == {"status": "confirmed", "reason": None}


def scripts(house):
    """Each script does what it says, and answers; what the heater holds is read from the bridge's topic."""
    topic = f"navien2mqtt/{house.world.macs[0]}"

    def held(name, key="entries"):
        told = [m["payload"] for m in house.told.since(0) if m["topic"] == f"{topic}/{name}"]
        return json.loads(told[-1])[key] if told else None

    def run(words, script, fields, good, then=lambda: True):
        said = house.answer(script, **fields)
        house.expect(f"{words}: {said}", lambda: good(said), 0)
        house.expect(f"{words}: the heater holds it", then, 10)

    morning = {"days": ["monday", "friday"], "time": "06:30:00", "mode": "energy_saver", "temperature": 122}
    written = {"days": ["monday", "friday"], "time": "06:30", "mode": "energy_saver", "temperature": 122, "enabled": True}
    run("clear", "reservations_clear", {}, confirmed, lambda: held("reservations") == [] and held("reservations", "enabled") is False)
    run("add", "reservation_add", morning, confirmed, lambda: held("reservations") == [written])
    run("add in °C", "reservation_add", {**morning, "days": ["sunday"], "temperature": 55, "enabled": False}, confirmed,
        lambda: held("reservations")[1]["temperature"] == 131 and held("reservations")[1]["enabled"] is False)
    run("add switching off", "reservation_add", {"days": ["sunday"], "time": "23:00:00", "mode": "off"}, confirmed,
        lambda: held("reservations")[2]["mode"] == "power_off")
    run("change", "reservation_update", {**morning, "index": 2, "time": "07:15:00"}, confirmed,
        lambda: held("reservations")[1] == {**written, "time": "07:15"})
    run("delete", "reservation_delete", {"index": 3}, confirmed, lambda: len(held("reservations")) == 2)
    run("delete what is not there", "reservation_delete", {"index": 9},
        lambda said: said["status"] == "rejected" and "there is no reservation 9" in said["reason"])
    run("add what is too hot", "reservation_add", {**morning, "temperature": 160},
        lambda said: said["status"] == "rejected" and "the temperature must be from" in said["reason"])
    period = {"months": ["6", "7"], "days": ["monday"], "start": "16:00:00", "end": "20:59:00", "price_min": 0.31}
    run("time of use", "tou_schedule", {"periods": [period, {**period, "months": ["1"], "price_max": 0.42}]}, confirmed,
        lambda: [(p["months"], p["start"], p["price_max"]) for p in held("tou", "periods")]
        == [([6, 7], "16:00", 0.31), ([1], "16:00", 0.42)])
    entries = [{"days": ["monday"], "time": "06:00:00", "pump": True}, {"days": ["monday"], "time": "08:00:00", "pump": False}]
    run("recirculation", "recirculation_schedule", {"entries": entries}, confirmed,
        lambda: [(e["time"], e["pump"]) for e in held("recirculation")] == [("06:00", True), ("08:00", False)])


def triggers(house):
    """What each automation does while everything is there."""
    at = house.told.mark()
    house.fault(fault="heater", index=LEAK, state={"error": 799})
    house.expect("leak: told", lambda: any("leak" in m.lower() for m in house.messages(at)))
    house.expect("leak: told again", lambda: len(house.messages(at)) > 1)
    house.expect("leak: the heater is off", lambda: house.state(heater(LEAK)) == "off")
    house.fault(fault="heater", index=LEAK, state={"error": 990})
    house.expect("leak: told of another one at once", lambda: any("overflow" in m.lower() for m in house.messages(at)), 2.5)
    house.fault(fault="heater", index=LEAK, state="online")
    house.expect("leak: told to be dry", lambda: "dry" in (house.messages(at) or [""])[-1])
    house.signal("peak", "ON")
    house.expect("demand response: rests during the peak", lambda: house.is_set(DEMAND, LOW))
    house.signal("peak", "OFF")
    house.expect("demand response: goes back", lambda: house.is_set(DEMAND, USUAL))
    house.signal("ahead", "ON")
    house.expect("demand response: heats ahead", lambda: house.is_set(DEMAND, HIGH))
    house.signal("ahead", "OFF")
    house.signal("peak", "ON")
    house.expect("demand response: rests again", lambda: house.is_set(DEMAND, LOW))
    house.signal("peak", "None")  # unknown
    house.expect("demand response: goes back when the signal is silent", lambda: house.is_set(DEMAND, USUAL))
    house.signal("peak", "OFF")
    house.signal("surplus", 2000)
    house.expect("solar: heats on", lambda: house.is_set(SOLAR, HIGH))
    house.signal("surplus", 300)
    house.never("solar: goes on between the limits", lambda: not house.is_set(SOLAR, HIGH))
    house.signal("surplus", -50)
    house.expect("solar: goes back", lambda: house.is_set(SOLAR, USUAL))
    house.signal("lesson", "ON")
    house.expect("scheduled: on", lambda: house.is_set(SCHEDULED, HIGH))
    house.signal("lesson", "OFF")
    house.expect("scheduled: off", lambda: house.is_set(SCHEDULED, LOW))
    begun_by_hand(house)
    away(house, "not_home")
    ended_by_hand(house)
    away(house, "home")


def begun_by_hand(house):
    house.act("water_heater.set_operation_mode", heater(PERSON), operation_mode="Vacation")
    house.expect("away: a vacation is begun by hand at home", lambda: house.state(heater(PERSON)) == "Vacation")
    house.never("away: it lasts while somebody is at home", lambda: house.state(heater(PERSON)) != "Vacation")
    house.act("water_heater.set_operation_mode", heater(PERSON), operation_mode="eco")
    house.expect("away: it is ended by hand", lambda: house.state(heater(PERSON)) == "eco")


def ended_by_hand(house):
    house.act("water_heater.set_operation_mode", heater(PERSON), operation_mode="heat_pump")
    house.expect("away: the vacation is ended from afar", lambda: house.state(heater(PERSON)) == "heat_pump")
    house.never("away: and does not begin anew at once", lambda: house.state(heater(PERSON)) == "Vacation", 2)
    time.sleep(3)
    quarter_of_an_hour(house, "automation.away_4")
    house.expect("away: but later", lambda: house.state(heater(PERSON)) == "Vacation")


def quarter_of_an_hour(house, automation):
    """Lets an automation look without waiting for its time pattern."""
    house.act("automation.trigger", automation, skip_condition=False)


def away(house, where):
    """Everybody leaves or comes home; what both automations make of it."""
    house.signal("phone", where)
    await_away(house, where)


def await_away(house, where):
    for number, by in ((PERSON, "person"), (ZONE, "zone")):
        if where == "home":
            house.expect(f"away by {by}: at home", lambda: house.state(heater(number)) == "eco")
            house.expect(f"away by {by}: it is forgotten", lambda: house.state(f"input_boolean.away_by_{by}") == "off")
        else:
            house.expect(f"away by {by}: on vacation", lambda: house.state(heater(number)) == "Vacation")
            house.expect(f"away by {by}: of the right length", lambda: house.state(heater(number), "vacation_days") == 10)
            house.expect(f"away by {by}: it is remembered", lambda: house.state(f"input_boolean.away_by_{by}") == "on")


def begin(house):
    """Everything is on."""
    house.fault(fault="heater", index=LEAK, state={"error": 799})
    for name, value in {"peak": "ON", "surplus": 2000, "lesson": "ON", "phone": "not_home"}.items():
        house.signal(name, value)
    house.expect("demand response: on", lambda: house.is_set(DEMAND, LOW))
    house.expect("solar: on", lambda: house.is_set(SOLAR, HIGH))
    house.expect("scheduled: on", lambda: house.is_set(SCHEDULED, HIGH))
    await_away(house, "not_home")


def stop_signals(house):
    for name, value in {"peak": "OFF", "surplus": -50, "lesson": "OFF", "phone": "home"}.items():
        house.signal(name, value)


def is_over(house):
    house.expect("demand response: over", lambda: house.is_set(DEMAND, USUAL))
    house.expect("solar: over", lambda: house.is_set(SOLAR, USUAL))
    house.expect("scheduled: over", lambda: house.is_set(SCHEDULED, LOW))
    await_away(house, "home")


def bridge_outage(house):
    """The bridge is away while everything ends, and while everything begins."""
    print("the bridge is away while it ends", flush=True)
    begin(house)
    house.expect("leak: off before the outage", lambda: house.state(heater(LEAK)) == "off")
    house.world.daemon.send_signal(signal.SIGKILL)
    house.world.daemon.wait()
    gone = [heater(number) for number in AUTOMATIONS]
    house.expect("the heaters are unavailable", lambda: all(house.state(e) == "unavailable" for e in gone))
    at = house.told.mark()
    stop_signals(house)
    house.expect("bridge: notified of its absence", lambda: any("not heard of" in m for m in house.notified()))
    house.expect("leak: told that it is not heard of", lambda: any("not heard of" in m for m in house.messages(at)))
    time.sleep(4)
    house.world.bridge()
    house.expect("bridge: the notification goes", lambda: not house.notified())
    house.expect("leak: told when it is heard of again", lambda: any("not heard" not in m and "leak" in m.lower() for m in house.messages(at)))
    is_over(house)
    house.expect("leak: never said to be dry", lambda: not any("dry" in m for m in house.messages(at)), 0)
    print("the bridge is away while it begins, and the leak ends", flush=True)
    house.world.daemon.send_signal(signal.SIGKILL)
    house.world.daemon.wait()
    house.expect("the heaters are unavailable", lambda: all(house.state(e) == "unavailable" for e in gone))
    at = house.told.mark()
    house.fault(fault="heater", index=LEAK, state="online")
    for name, value in {"peak": "ON", "surplus": 2000, "lesson": "ON", "phone": "not_home"}.items():
        house.signal(name, value)
    time.sleep(4)
    house.world.bridge()
    house.expect("leak: dry", lambda: "dry" in (house.messages(at) or [""])[-1])
    house.expect("demand response: begun", lambda: house.is_set(DEMAND, LOW))
    house.expect("solar: begun", lambda: house.is_set(SOLAR, HIGH))
    house.expect("scheduled: begun", lambda: house.is_set(SCHEDULED, HIGH))
    await_away(house, "not_home")


def restart(house, meanwhile):
    house.ha.stop()
    meanwhile()
    house.ha.start()
    house.wait_for_entities()


def home_assistant_outage(house):
    """Home Assistant is away while everything ends, and while everything begins."""
    print("Home Assistant is away while it ends", flush=True)

    def end():
        house.fault(fault="heater", index=LEAK, state={"error": 799})
        stop_signals(house)
    at = house.told.mark()
    restart(house, end)
    house.expect("leak: told after the start", lambda: any("leak" in m.lower() for m in house.messages(at)))
    is_over(house)
    print("Home Assistant is away while it begins", flush=True)

    def begins():
        for name, value in {"peak": "ON", "surplus": 2000, "lesson": "ON", "phone": "not_home"}.items():
            house.signal(name, value)
    restart(house, begins)
    time.sleep(3)
    quarter_of_an_hour(house, "automation.away_5")  # the zone was empty from the start, so that nothing changes
    house.expect("demand response: begun", lambda: house.is_set(DEMAND, LOW))
    house.expect("solar: begun", lambda: house.is_set(SOLAR, HIGH))
    house.expect("scheduled: begun", lambda: house.is_set(SCHEDULED, HIGH))
    await_away(house, "not_home")
    print("Home Assistant starts while nothing changes", flush=True)
    restart(house, lambda: None)
    house.never("solar: goes on", lambda: not house.is_set(SOLAR, HIGH))


def cloud_outage(house):
    """The cloud is away while everything ends, for longer than a command lasts, and too short for a heater to be unavailable."""
    print("the cloud is away while it ends", flush=True)
    house.fault(fault="refuse")
    house.fault(fault="reset")
    stop_signals(house)
    expired = lambda: house.state(heater(DEMAND), "last_command")["status"] == "expired"
    house.expect("demand response: the command expires", expired)
    house.expect("bridge: notified of the cloud's absence", lambda: any("reconnecting" in m for m in house.notified()))
    said = house.answer("reservation_delete", index=1)
    house.expect(f"delete in the outage: {said}", lambda: said["status"] == "expired" and "waited" in said["reason"], 0)
    house.expect("the heater is available throughout", lambda: house.state(heater(DEMAND)) != "unavailable", 0)
    print("Home Assistant starts in the cloud's outage", flush=True)
    restart(house, lambda: None)
    house.expect("bridge: notified after the start", lambda: any("reconnecting" in m for m in house.notified()))
    house.fault(fault="clear")
    is_over(house)
    house.expect("bridge: the notification goes", lambda: not house.notified())


def check(World):
    """Returns 0 if nothing is wrong with the blueprints; `World` makes a broker, a cloud and a bridge."""
    world = World(len(AUTOMATIONS), COMMANDS)
    problems = []
    try:
        for mac in world.macs:
            world.read(f"navien2mqtt/{mac}/reservations", "entries")
        house = House(world)
        try:
            discover_signals(house)
            house.ha.start()
            house.wait_for_entities()
            instances(house)
            scripts(house)
            triggers(house)
            bridge_outage(house)
            home_assistant_outage(house)
            cloud_outage(house)
        finally:
            problems += house.problems + list(house.complaints())
            house.end()
    finally:
        world.end()
    print(f"blueprints: {house.done} checks, {len(problems)} problems")
    for problem in problems:
        print("PROBLEM " + problem)
    return 1 if problems else 0
