"""Looks at what a person sees: the dashboard and the device pages in Home Assistant's own frontend, in Chromium.

Called by `run`. A world of its own, with one heater: all is well, the heater reports a leak, the cloud is away, the bridge is
stopped. The pictures are kept in target/home-assistant-pictures. With UPDATE_DOCS=1 the one in the documentation is made anew.
"""
import argparse, datetime, itertools, json, os, shutil, signal, subprocess, sys, time, urllib.request

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
energy:
lovelace:
  dashboards:
    hot-water:
      mode: yaml
      title: Hot water
      icon: mdi:water-boiler
      filename: dashboard.yaml
"""
LEAK, OVERFLOW, PROBLEM, STOPPED, AWAY, SILENT = TROUBLE = [
    "Water leak", "Condensate overflow", "The heater has a problem", "navien2mqtt is not running",
    "No connection to Navien's cloud", "The heater does not answer"]


def but(*shown):
    return {"shows": list(shown), "hides": [text for text in TROUBLE if text not in shown]}


class Screens:
    """The pages that Chromium has open."""

    def __init__(self, port, token):
        os.makedirs(PICTURES, exist_ok=True)
        self.process = subprocess.Popen(
            ["node", os.path.join(HERE, "frontend.mjs"), shutil.which("chromium"), os.path.join(judge.LAB, "frontend"),
             f"http://127.0.0.1:{port}", token, PICTURES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=judge.die_with_parent)

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


def a_past(ws, energy):
    """Gives the graphs a month behind them, since the heater of the test is a minute old."""
    hour = datetime.datetime.now(datetime.UTC).replace(minute=0, second=0, microsecond=0)
    hours = [hour - datetime.timedelta(hours=back) for back in range(720, 0, -1)]
    states = {s["entity_id"]: s for s in ws.get("get_states")}
    days = [day for day in energy["days"] if day.get("total_wh")]
    known = {day["date"]: day for day in days}

    def tell(name, points, **kind):
        entity = f"sensor.{SLUG}_{name}"
        ws.get("recorder/import_statistics", stats=[{"start": at.isoformat(), **point} for at, point in zip(hours, points)],
               metadata={"source": "recorder", "statistic_id": entity, "name": None,
                         "unit_of_measurement": states[entity]["attributes"]["unit_of_measurement"], **kind})

    def heating(at):
        """Which part of a day's heat is made in this hour: after two showers a day, of which one was just now."""
        return {1: 0.25, 12: 0.15, 13: 0.25, 0: 0.1, 14: 0.25}.get((hour - at).total_seconds() // 3600 % 24, 0)

    def mean(name, of):
        values = [of(at) for at in hours]
        tell(name, [{"mean": v, "min": v, "max": v} for v in values], has_sum=False, mean_type=1, unit_class=None)

    def total(name, of, unit_class):
        sums = list(itertools.accumulate(of(at) for at in hours))
        least = float(states[f"sensor.{SLUG}_{name}"]["state"]) - sums[-1]
        tell(name, [{"state": least + v, "sum": v} for v in sums], has_sum=True, mean_type=0, unit_class=unit_class)

    def used(at, part):
        """What the heater says of that day, and beyond its days that of another one."""
        date = at.date().isoformat()
        day = known.get(date) or days[at.toordinal() % len(days)]
        return day[part] / 1000 * heating(at) * (date < hour.date().isoformat())

    mean("water_temperature", lambda at: 122 - 28 * heating(at))
    mean("tank_temperature_upper", lambda at: 124 - 16 * heating(at))
    mean("tank_temperature_lower", lambda at: 118 - 88 * heating(at))
    mean("power", lambda at: 3 + 1800 * heating(at))
    total("energy", lambda at: used(at, "total_wh"), "energy")
    total("energy_heat_pump", lambda at: used(at, "heat_pump_wh"), "energy")
    total("energy_element", lambda at: used(at, "heat_element_wh"), "energy")
    total("water_used", lambda at: 36 * heating(at), "volume")


def dashboard(folder):
    with open(DASHBOARD) as original, open(os.path.join(folder, "dashboard.yaml"), "w") as copy:
        copy.write(original.read().replace("nwp500", SLUG))
    path = os.path.join(folder, "configuration.yaml")
    with open(path) as f:
        text = f.read()
    for here, where_it_is_sold in [("unit_system: metric", "unit_system: us_customary"), ("country: NL", "country: US")]:
        text = text.replace(here, where_it_is_sold)
    with open(path, "w") as f:
        f.write(text + HOME_ASSISTANT)


def a_wrong_password(world):
    """Starts the bridge anew with another password and without the session it has kept."""
    world.daemon.wait(20)
    shutil.rmtree(f"{world.folder}/state")
    path = f"{world.folder}/config.toml"
    with open(path) as f:
        text = f.read()
    with open(path, "w") as f:
        f.write(text.replace(world.about["password"], "another"))
    world.bridge()


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
        problems += screens.look("well", path, shows=["Hot water in the tank", "Energy each day", "This month"], hides=TROUBLE)
        problems += screens.look("heater", "/config/devices/device/" + devices[NAME], shows=["Water temperature"])
        problems += screens.look("bridge", "/config/devices/device/" + devices["Navien bridge"], shows=["Cloud connection"])
        for name, code, sensor, text in [("leak", 799, "water_leak", LEAK), ("error", 908, "problem", PROBLEM),
                                         ("overflow", 990, "condensate_overflow", OVERFLOW)]:
            fault(world, {"fault": "heater", "state": {"error": code}})
            problems += wait_for(judged, f"binary_sensor.{SLUG}_{sensor}", "on")
            problems += screens.look(name, path, **but(text, f"E{code}"))
        fault(world, {"fault": "heater", "state": "online"})
        problems += wait_for(judged, f"binary_sensor.{SLUG}_problem", "off")
        fault(world, {"fault": "heater", "state": "offline"})
        problems += wait_for(judged, f"binary_sensor.{SLUG}_reachable", "off")
        problems += screens.look("silent", path, **but(SILENT))
        fault(world, {"fault": "heater", "state": "online"})
        problems += wait_for(judged, f"binary_sensor.{SLUG}_reachable", "on")
        fault(world, {"fault": "refuse"}, {"fault": "reset"})
        problems += wait_for(judged, bridge + "cloud_online", "off")
        problems += screens.look("outage", path, **but(AWAY))
        fault(world, {"fault": "clear"})
        problems += wait_for(judged, bridge + "cloud_online", "on")
        world.daemon.send_signal(signal.SIGTERM)
        problems += wait_for(judged, bridge + "bridge_online", "off")
        problems += screens.look("stopped", path, **but(STOPPED))
        a_wrong_password(world)
        problems += wait_for(judged, "sensor.navien_bridge_cloud_connection", "Failed")
        problems += wait_for(judged, bridge + "bridge_online", "off")
        problems += screens.look("given-up", path, **but(STOPPED, AWAY))
    finally:
        screens.close()
    return problems


def document():
    """The picture of the documentation, with as few colours as it needs (Pillow is Home Assistant's)."""
    shrink = ("import io, sys; from PIL import Image; picture = Image.open(io.BytesIO(sys.stdin.buffer.read())).convert('RGB');"
              "picture.quantize(128, dither=Image.Dither.NONE).save(sys.stdout.buffer, 'PNG', optimize=True)")
    with open(os.path.join(PICTURES, "well-desktop-light.png"), "rb") as big, open(DOCUMENTED, "wb") as small:
        subprocess.run(["chroot", judge.ROOT, "/opt/ha/bin/python", "-c", shrink], stdin=big, stdout=small, check=True)


def check(make_world):
    """Returns 0 when every picture shows what it must, and when there is no browser, loudly."""
    playwright = os.path.join(judge.LAB, "frontend/node_modules/playwright-core")
    if not (shutil.which("chromium") and shutil.which("node") and os.path.exists(playwright)):
        print("SKIPPED the frontend: Chromium, Node.js or playwright-core is missing (see above). NOBODY HAS SEEN THE DASHBOARD.")
        return 0
    world = make_world(heaters=1, more=CONFIG, stale_after="20s")
    try:
        world.read(f"homeassistant/device/navien2mqtt_{world.macs[0]}/config", "cmps")
        energy = json.loads(world.read(f"navien2mqtt/{world.macs[0]}/energy", "total_kwh"))
        shutil.rmtree(PICTURES, ignore_errors=True)
        judged = judge.Judge(argparse.Namespace(port=world.port, wait=30, min_entities=100, settle=2))
        try:
            dashboard(judged.run_dir)
            judged.ha.start()
            judged.wait_device()
            wait_for(judged, f"binary_sensor.{SLUG}_reachable", "on")
            a_past(judged.ha.ws, energy)
            problems = views(world, judged)
        finally:
            judged.ha.stop()
            shutil.rmtree(judged.run_dir, ignore_errors=True)
    finally:
        world.end()
    for problem in problems:
        print("PROBLEM " + problem)
    if os.environ.get("UPDATE_DOCS"):
        document()
    print(f"{len(os.listdir(PICTURES))} pictures in {os.path.relpath(PICTURES, ROOT)}")
    return 1 if problems else 0
