"""Looks at what a person sees: the dashboard and the device pages in Home Assistant's own frontend, in Chromium.

Called by `run`. A world of its own, with one heater: all is well, the heater reports a leak, the cloud is away, the bridge is
stopped. The pictures are kept in target/home-assistant-pictures. With UPDATE_DOCS=1 the one in the documentation is made anew.
"""
import argparse, datetime, json, math, os, shutil, signal, subprocess, sys, time, urllib.request

import judge

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
DASHBOARD = os.path.join(ROOT, "packaging/home-assistant/dashboard.yaml")
PICTURES = os.path.join(ROOT, "target/home-assistant-pictures")
DOCUMENTED = os.path.join(ROOT, "docs/pictures/dashboard.png")
# The dashboard is written for a heater called NWP500; this one is called otherwise, as a user's may be.
NAME, SLUG = "Garage", "garage"
CONFIG = f"""
[[device]]
mac = "04786332fca0"
name = "{NAME}"
"""
HOME_ASSISTANT = """
logbook:
energy:
lovelace:
  dashboards:
    hot-water:
      mode: yaml
      title: Hot water
      icon: mdi:water-boiler
      filename: dashboard.yaml
"""
TROUBLE = ["Water leak", "Condensate overflow", "The heater reports an error", "navien2mqtt is not running",
           "No connection to Navien", "The heater is silent"]


class Screens:
    """The pages that Chromium has open."""

    def __init__(self, port, token):
        os.makedirs(PICTURES, exist_ok=True)
        self.process = subprocess.Popen(
            ["node", os.path.join(HERE, "frontend.mjs"), os.path.join(judge.LAB, "frontend"), f"http://127.0.0.1:{port}", token,
             PICTURES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=judge.die_with_parent)

    def look(self, name, path, **expected):
        self.process.stdin.write(json.dumps({"name": name, "path": path, **expected}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        return json.loads(answer)["problems"] if answer else [f"{name}: the browser has ended"]

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def fault(world, *faults):
    request = urllib.request.Request(world.about["control_url"] + "/faults", json.dumps(faults).encode(),
                                     {"content-type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()


def a_past(ws):
    """Gives the graphs a month behind them, since the heater of the test is a minute old."""
    hour = datetime.datetime.now(datetime.UTC).replace(minute=0, second=0, microsecond=0)
    ids = {e["entity_id"]: e for e in ws.get("get_states")}

    def tell(entity, points, **kind):
        unit = ids[entity]["attributes"]["unit_of_measurement"]
        stats = [{"start": (hour - datetime.timedelta(hours=back)).isoformat(), **point} for back, point in points]
        ws.get("recorder/import_statistics", stats=stats, metadata={
            "source": "recorder", "statistic_id": entity, "name": None, "unit_of_measurement": unit, **kind})

    def heating(back):
        """How much of this hour the heat pump runs: in the morning and in the evening, after showers."""
        return {7: 1, 8: 1, 9: 0.5, 19: 1, 20: 0.7}.get((hour - datetime.timedelta(hours=back)).hour, 0)

    def mean(name, of):
        points = [(back, of(back)) for back in range(720, 0, -1)]
        tell(f"sensor.{SLUG}_{name}", [(back, {"mean": v, "min": v, "max": v}) for back, v in points],
             has_sum=False, mean_type=1, unit_class=None)

    def total(name, of, unit_class):
        now = float(ids[f"sensor.{SLUG}_{name}"]["state"])
        steps = [of(back) for back in range(720, 0, -1)]
        points, left = [], sum(steps)
        for back, step in zip(range(720, 0, -1), steps):
            left -= step
            points.append((back, {"state": now - left, "sum": sum(steps) - left}))
        tell(f"sensor.{SLUG}_{name}", points, has_sum=True, mean_type=0, unit_class=unit_class)

    mean("water_temperature", lambda back: 122 - 7 * heating(back + 1))
    mean("upper_tank_temperature", lambda back: 123 - 4 * heating(back + 1))
    mean("lower_tank_temperature", lambda back: 118 - 22 * heating(back + 1))
    mean("outside_temperature", lambda back: 52 + 9 * math.sin((hour.hour - back - 9) / 24 * math.tau))
    mean("power", lambda back: 3 + 460 * heating(back))
    total("heat_pump_energy", lambda back: 0.46 * heating(back) * (0.8 + back // 24 % 5 / 10), "energy")
    total("element_energy", lambda back: 0.7 * heating(back) * (back // 24 % 7 == 3), "energy")
    total("water_used", lambda back: 9 * heating(back), "volume")


def dashboard(folder):
    with open(DASHBOARD) as original, open(os.path.join(folder, "dashboard.yaml"), "w") as copy:
        copy.write(original.read().replace("nwp500", SLUG))
    path = os.path.join(folder, "configuration.yaml")
    with open(path) as f:
        text = f.read()
    with open(path, "w") as f:  # a household where this heater is sold
        f.write(text.replace("unit_system: metric", "unit_system: us_customary").replace("country: NL", "country: US") + HOME_ASSISTANT)


def wait_for(judged, entity, state):
    until = time.time() + 60
    while (judged.state(entity) or {}).get("state") != state:
        if time.time() > until:
            return [f"{entity} never was {state}: {judged.state(entity)}"]
        time.sleep(0.2)
    return []


def views(world, judged):
    """Goes through what may happen, and returns what was not as it must be."""
    screens, problems = Screens(judged.ha.port, judged.ha.token), []
    bridge, path = "binary_sensor.navien_bridge_", "/hot-water/hot-water"
    try:
        devices = {d["name"]: d["id"] for d in judged.devices()}
        problems += screens.look("well", path, shows=["Hot water in the tank", "Energy each day"], hides=TROUBLE)
        problems += screens.look("heater", "/config/devices/device/" + devices[NAME], shows=["Water temperature"])
        problems += screens.look("bridge", "/config/devices/device/" + devices["Navien bridge"], shows=["Cloud connection"])
        fault(world, {"fault": "heater", "state": {"error": 799}})
        problems += wait_for(judged, f"binary_sensor.{SLUG}_water_leak", "on")
        problems += screens.look("leak", path, shows=TROUBLE[:1] + TROUBLE[2:3], hides=TROUBLE[3:])
        fault(world, {"fault": "heater", "state": "online"})
        problems += wait_for(judged, f"binary_sensor.{SLUG}_water_leak", "off")
        fault(world, {"fault": "refuse"}, {"fault": "reset"})
        problems += wait_for(judged, bridge + "cloud_online", "off")
        problems += screens.look("outage", path, shows=["No connection to Navien"], hides=TROUBLE[:4])
        fault(world, {"fault": "clear"})
        problems += wait_for(judged, bridge + "cloud_online", "on")
        world.daemon.send_signal(signal.SIGTERM)
        problems += wait_for(judged, bridge + "bridge_online", "off")
        problems += screens.look("stopped", path, shows=["navien2mqtt is not running"], hides=TROUBLE[:3] + TROUBLE[4:])
    finally:
        screens.close()
    return problems


def check(make_world):
    """Returns 0 when every picture shows what it must, and when there is no browser, loudly."""
    if not os.path.exists(os.path.join(judge.LAB, "frontend/node_modules/playwright-core")):
        print("SKIPPED the frontend: no Chromium could be installed, see above. Nobody has looked at the dashboard.")
        return 0
    world = make_world(heaters=1, more=CONFIG)
    try:
        world.read(f"homeassistant/device/navien2mqtt_{world.macs[0]}/config", "cmps")
        world.read(f"navien2mqtt/{world.macs[0]}/energy", "total_kwh")
        judged = judge.Judge(argparse.Namespace(port=world.port, wait=30, min_entities=100, settle=2))
        try:
            dashboard(judged.run_dir)
            judged.ha.start()
            judged.wait_device()
            wait_for(judged, f"binary_sensor.{SLUG}_reachable", "on")
            a_past(judged.ha.ws)
            problems = views(world, judged)
        finally:
            judged.ha.stop()
            shutil.copy(judged.ha.log_path, PICTURES)
            shutil.rmtree(judged.run_dir, ignore_errors=True)
    finally:
        world.end()
    for problem in problems:
        print("PROBLEM " + problem)
    print(f"{len(os.listdir(PICTURES))} pictures in {PICTURES}")
    return 1 if problems else 0
