"""Lets a real Home Assistant run the blueprint of the bridge alert.

Called by `run`; about two minutes. A short outage, a long one, a wrong password, and Home Assistant's own restart in the middle of
the last two: what must be notified is, with the words that help, and what is over is taken away.
"""
import argparse, os, shutil, signal, time

import judge
from frontend import a_wrong_password, fault, wait_for

BLUEPRINT = os.path.join(os.path.dirname(judge.__file__), "../../packaging/home-assistant/blueprints/automation/bridge_alert.yaml")
CONNECTION = "sensor.navien_bridge_cloud_connection"
AWAY_FOR = 15
AUTOMATION = f"""
automation:
  - alias: Bridge alert
    use_blueprint:
      path: navien2mqtt/bridge_alert.yaml
      input:
        connection: {CONNECTION}
        reason: sensor.navien_bridge_reason
        away_for: {{seconds: {AWAY_FOR}}}
"""


def configure(folder):
    to = os.path.join(folder, "blueprints/automation/navien2mqtt")
    os.makedirs(to)
    shutil.copy(BLUEPRINT, to)
    with open(os.path.join(folder, "configuration.yaml"), "a") as f:
        f.write(AUTOMATION)


def notified(judged):
    """Ours; Home Assistant has some of its own."""
    notifications = judged.ha.ws.get("persistent_notification/get")
    return [n["message"] for n in notifications if n["notification_id"].startswith("navien2mqtt_")]


def expect(judged, what, words, within):
    """Waits for a notification with these words, or for none."""
    until = time.time() + within
    while time.time() < until:
        seen = notified(judged)
        if all(words in message for message in seen) if words and seen else not words and not seen:
            return []
        time.sleep(0.2)
    return [f"{what}: {words or 'no notification'} was expected, and there is {seen}"]


def story(world, judged):
    """Goes through what may happen, and returns what was not as it must be."""
    problems = wait_for(judged, CONNECTION, "Connected") + expect(judged, "all is well", None, 1)
    fault(world, {"fault": "refuse"}, {"fault": "reset"})
    problems += wait_for(judged, CONNECTION, "Reconnecting")
    time.sleep(2)
    fault(world, {"fault": "clear"})
    problems += wait_for(judged, CONNECTION, "Connected")
    time.sleep(AWAY_FOR)
    problems += expect(judged, "a short outage", None, 1)
    fault(world, {"fault": "refuse"}, {"fault": "reset"})
    problems += wait_for(judged, CONNECTION, "Reconnecting")
    time.sleep(AWAY_FOR / 2)
    problems += expect(judged, "a short time away", None, 1)
    problems += expect(judged, "a long outage", "(reconnecting)", AWAY_FOR)
    judged.ha.stop()
    judged.ha.start()
    problems += expect(judged, "a long outage, at the start", "(reconnecting)", AWAY_FOR + 30)
    fault(world, {"fault": "clear"})
    judged.ha.ws.get("call_service", domain="button", service="press", service_data={}, target={"entity_id": "button.navien_bridge_reconnect"})
    problems += wait_for(judged, CONNECTION, "Connected") + expect(judged, "the end of the outage", None, 5)
    world.daemon.send_signal(signal.SIGTERM)
    a_wrong_password(world)
    wrong = "correct account.email or account.password_file"
    problems += wait_for(judged, CONNECTION, "Failed") + expect(judged, "a wrong password", wrong, 5)
    judged.ha.stop()
    judged.ha.start()
    problems += wait_for(judged, CONNECTION, "Failed") + expect(judged, "a wrong password, at the start", wrong, 5)
    return problems


def check(make_world):
    """Returns 0 when all that must be was notified, and nothing else."""
    world = make_world(heaters=1)
    judged = judge.Judge(argparse.Namespace(port=world.port, wait=30, min_entities=100, settle=2))
    try:
        world.read(f"homeassistant/device/navien2mqtt_{world.macs[0]}/config", "cmps")
        configure(judged.run_dir)
        judged.ha.start()
        judged.wait_device()
        problems = story(world, judged)
        faults = [e for e in judged.ha.log() if "automation" in e["logger"] and e["level"] in ("WARNING", "ERROR")]
        problems += [f"log: {e['message']}" for e in faults]
    finally:
        judged.ha.stop()
        shutil.rmtree(judged.run_dir, ignore_errors=True)
        world.end()
    print(f"The bridge alert: {len(problems)} problems")
    for problem in problems:
        print("PROBLEM " + problem)
    return 1 if problems else 0
