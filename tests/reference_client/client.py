"""Uses the simulated cloud as a program that is built on nwp500-python would, and prints what passed.

Usage: client.py FOLDER       (FOLDER holds what `navien2mqtt simulate --directory` wrote, and its line as about.json)

The library knows one cloud; only the REST address, the port and the authority of the certificates are ours.
"""
import asyncio
import functools
import json
import logging
import ssl
import sys
import time
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from nwp500 import NavienAPIClient, NavienAuthClient, NavienMqttClient
from nwp500.enums import DhwOperationSetting, RecirculationMode
from nwp500.exceptions import APIError, DeviceCapabilityError, InvalidCredentialsError
from nwp500.models import OtaCommitPayload, RecirculationSchedule, ReservationSchedule
from nwp500.mqtt import MqttConnectionConfig, connection
from nwp500.mqtt_events import MqttClientEvents
from nwp500.reservations import (
    add_reservation,
    delete_reservation,
    fetch_reservations,
    update_reservation,
    update_reservations_confirmed,
)

# How long an answer of the simulator may take, s.
PATIENCE = 15
# How long all of it may take, s.
PATIENCE_FOR_ALL = 300
# The heater obeys one control of mode, temperature and power a second, s.
PAUSE = 1.1


class Complaints(logging.Handler):
    """What the library warns of: a message that it cannot read is a fault of the simulator."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        self.lines.append(f"{record.name}: {record.getMessage()}")


class Table:
    """Runs the checks one after another; a check that fails does not keep the next from running."""

    def __init__(self, complaints):
        self.complaints, self.passed, self.failed = complaints, 0, 0

    async def check(self, name, what, complains=False):
        """Awaits `what`; a library that warns has not passed unless the check is one of a fault."""
        began, self.complaints.lines = time.monotonic(), []
        try:
            said = await asyncio.wait_for(what, 3 * PATIENCE)
            problem = None if complains or not self.complaints.lines else "; ".join(self.complaints.lines)
        except Exception as error:
            said, problem = None, f"{type(error).__name__}: {error}"
        self.passed, self.failed = self.passed + (not problem), self.failed + bool(problem)
        print(f"{'FAILED' if problem else 'ok':6}  {time.monotonic() - began:5.1f} s  {name:34}  {problem or said or ''}",
              flush=True)


def expect(condition, words):
    if not condition:
        raise AssertionError(words)


def expect_whole(answer):
    """Expects every field that the library knows of, so that none has another name here."""
    missing = set(type(answer).model_fields) - answer.model_fields_set
    expect(not missing, f"without {', '.join(sorted(missing))}")


class Client:
    """The library's clients, and the answers of the first heater in the order of their arrival."""

    def __init__(self, about, session):
        self.about, self.session = about, session
        self.auth = self.api = self.mqtt = self.device = self.other = self.feature = None
        self.statuses, self.acknowledged = asyncio.Queue(), asyncio.Queue()

    async def post(self, path, body):
        async with self.session.post(self.about["control_url"] + path, json=body) as answer:
            expect(answer.ok, f"{path}: {answer.status}")

    # REST

    async def wrong_password(self):
        other = NavienAuthClient(self.about["email"], "wrong", self.about["api_url"], self.session)
        try:
            await other.sign_in(self.about["email"], "wrong")
        except InvalidCredentialsError as error:
            return f"code {error.status_code}"
        raise AssertionError("a wrong password was taken")

    async def sign_in(self):
        self.auth = NavienAuthClient(self.about["email"], self.about["password"], self.about["api_url"], self.session)
        await self.auth.__aenter__()
        self.api = NavienAPIClient(self.auth, base_url=self.about["api_url"])
        expect(self.auth.current_tokens.access_key_id, "sign-in brought no AWS credentials")
        return self.auth.current_user.full_name

    async def renew(self):
        before = self.auth.current_tokens
        after = await self.auth.refresh_token(before.refresh_token)
        expect(after.access_token != before.access_token, "the access token is the old one")
        after = await self.auth.refresh_session()
        expect(after.access_key_id != before.access_key_id, "the AWS key is the old one")
        jwt = after.access_token
        await self.auth.secured_sign_in()
        expect(self.auth.current_tokens.access_token == jwt, "secured-sign-in has no tokens to bring")
        return "tokens, session, secured sign-in"

    async def list(self):
        devices = await self.api.list_devices()
        expect(len(devices) == 2, f"{len(devices)} heaters, not 2")
        self.device, self.other = devices
        info = self.device.device_info
        expect(info.device_type == 52, f"device type {info.device_type}")
        one = await self.api.get_device_info(info.mac_address, info.additional_value)
        expect(one.device_info.mac_address == info.mac_address, "another heater was told")
        firmware = await self.api.get_firmware_info(info.mac_address, info.additional_value)
        expect(firmware, "no firmware")
        return f"{len(devices)} heaters, {len(firmware)} parts with firmware"

    async def refused(self):
        info = self.device.device_info
        address = info.mac_address, info.additional_value
        for name, call, code in (("errors of an owner", self.api.get_error_history(*address), 404),
                                 ("another controller", self.api.get_tou_info(*address, "another"), 500)):
            try:
                await call
            except APIError as error:
                expect(error.code == code, f"{name}: code {error.code}, not {code}")
            else:
                raise AssertionError(f"{name}: answered, not refused")
        return "errors of an owner, another controller"

    async def tou_info(self):
        info, serial = self.device.device_info, self.feature.controller_serial_number
        tou = await self.api.get_tou_info(info.mac_address, info.additional_value, serial)
        expect(tou.schedule and tou.schedule[0].intervals, "no intervals")
        return f"{tou.utility}, {tou.name}"

    # MQTT

    async def connect(self):
        config = MqttConnectionConfig(endpoint=urlsplit(self.about["mqtt_url"]).hostname, operation_timeout=PATIENCE,
                                      last_will_device=self.device)
        self.mqtt = NavienMqttClient(self.auth, config)
        expect(await self.mqtt.connect(), "no connection")
        await self.mqtt.subscribe_device_status(self.device, self.statuses.put_nowait)
        mac = self.device.device_info.mac_address
        self.answers = f"cmd/52/navilink-{mac}/{self.mqtt.client_id}/res"
        await self.mqtt.subscribe_device(self.device, self.answer)
        await self.mqtt.signal_app_connection(self.device)

    def answer(self, topic, message):
        if topic == self.answers and message.get("requestTopic", "").endswith("/ctrl"):
            self.acknowledged.put_nowait(message)

    async def status(self):
        """Asks for the status and returns it."""
        while not self.statuses.empty():
            self.statuses.get_nowait()
        await self.mqtt.request_device_status(self.device)
        return await asyncio.wait_for(self.statuses.get(), PATIENCE)

    async def plausible(self):
        status = await self.status()
        expect_whole(status)
        expect(50 < status.dhw_temperature < 160, f"{status.dhw_temperature} in the tank")
        expect(0 <= status.dhw_charge_per <= 100, f"{status.dhw_charge_per} % of charge")
        return f"{status.dhw_temperature:.0f} °F in the tank, {status.dhw_operation_setting.name}"

    async def information(self):
        self.feature = await self.answered(self.mqtt.subscribe_device_feature, self.mqtt.unsubscribe_device_feature,
                                           self.mqtt.request_device_info(self.device))
        expect_whole(self.feature)
        expect(self.feature.recirculation_use and self.feature.power_use, "the first heater has a pump")
        return f"{self.feature.dhw_temperature_min:.0f} to {self.feature.dhw_temperature_max:.0f} °F"

    async def second(self):
        """The other heater is metric and has no pump."""
        statuses = asyncio.Queue()
        await self.mqtt.subscribe_device_status(self.other, statuses.put_nowait)
        await self.mqtt.request_device_status(self.other)
        status = await asyncio.wait_for(statuses.get(), PATIENCE)
        expect(10 < status.dhw_temperature < 75, f"{status.dhw_temperature} in the tank")
        try:
            await self.mqtt.set_recirculation_mode(self.other, RecirculationMode.WEEKLY)
        except DeviceCapabilityError as error:
            return f"{status.dhw_temperature:.0f} °C in the tank; {error.feature_name} is refused"
        raise AssertionError("a pump that is not fitted was taken as fitted")

    async def answered(self, subscribe, unsubscribe, request):
        """Returns the first answer of the kind that `subscribe` names."""
        answers = asyncio.Queue()
        await subscribe(self.device, answers.put_nowait)
        await request
        answer = await asyncio.wait_for(answers.get(), PATIENCE)
        await unsubscribe(self.device, answers.put_nowait)
        return answer

    async def control(self, request, *fields):
        """Sends a control, waits for its acknowledgement, and reads each (field, value) back by a status request."""
        await asyncio.sleep(PAUSE)
        while not self.acknowledged.empty():
            self.acknowledged.get_nowait()
        await request
        await asyncio.wait_for(self.acknowledged.get(), PATIENCE)
        status = await self.status()
        for name, value in fields:
            expect(getattr(status, name) == value, f"{name} is {getattr(status, name)!r}, not {value!r}")
        return ", ".join(f"{name} {getattr(status, name)!s}" for name, _ in fields) or "acknowledged"

    async def too_soon(self):
        await asyncio.sleep(PAUSE)
        refused = asyncio.get_running_loop().create_future()
        self.mqtt.once(MqttClientEvents.CONTROL_FAILED, refused.set_result)
        await self.mqtt.set_dhw_mode(self.device, 1)
        await self.mqtt.set_dhw_mode(self.device, 3)
        return (await asyncio.wait_for(refused, PATIENCE)).reason

    def controls(self):
        """Every control that is read back in the status."""
        mqtt, device, mode = self.mqtt, self.device, DhwOperationSetting
        is_mode = lambda expected: ("dhw_operation_setting", expected)
        yield "power off", mqtt.set_power(device, False), [is_mode(mode.POWER_OFF)]
        yield "power on", mqtt.set_power(device, True), [is_mode(mode.ENERGY_SAVER)]
        for one in (mode.HEAT_PUMP, mode.ELECTRIC, mode.HIGH_DEMAND, mode.ENERGY_SAVER):
            yield f"mode {one.name.lower()}", mqtt.set_dhw_mode(device, one), [is_mode(one)]
        yield "vacation", mqtt.set_vacation_days(device, 5), [is_mode(mode.VACATION), ("vacation_day_setting", 5)]
        yield "vacation days", mqtt.set_vacation_duration(device, 9), [("vacation_day_setting", 9)]
        yield "mode 6", mqtt.set_dhw_mode(device, mode.POWER_OFF), [is_mode(mode.ENERGY_SAVER)]
        yield "temperature", mqtt.set_dhw_temperature(device, 122), [("dhw_temperature_setting", 122)]
        yield "anti-legionella on", mqtt.enable_anti_legionella(device, 21), [("anti_legionella_use", True),
                                                                              ("anti_legionella_period", 21)]
        yield "anti-legionella off", mqtt.disable_anti_legionella(device), [("anti_legionella_use", False)]
        yield "time of use off", mqtt.set_tou_enabled(device, False), [("tou_status", 0)]
        yield "time of use on", mqtt.set_tou_enabled(device, True), [("tou_status", 1)]
        yield "time of use off again", mqtt.set_tou_enabled(device, False), [("tou_status", 0)]
        yield "demand response on", mqtt.enable_demand_response(device), []
        yield "demand response off", mqtt.disable_demand_response(device), []
        yield "intelligent on", mqtt.enable_intelligent_scheduling(device), []
        yield "intelligent off", mqtt.disable_intelligent_scheduling(device), []
        yield "air filter life", mqtt.set_air_filter_life(device, 1500), [("air_filter_alarm_period", 1500)]
        yield "air filter reset", mqtt.reset_air_filter(device), [("cumulated_op_time_eva_fan", 0)]
        yield "condenser fault reset", mqtt.reset_condenser_fault(device), []
        yield "water program", mqtt.configure_reservation_water_program(device), [("program_reservation_use", True)]
        for one in (RecirculationMode.WEEKLY, RecirculationMode.ALWAYS_ON, RecirculationMode.HOT_BUTTON_ONLY):
            yield f"recirculation {one.name.lower()}", mqtt.set_recirculation_mode(device, one), [
                ("recirc_operation_mode", one)]
        yield "recirculation hot button", mqtt.trigger_recirculation_hot_button(device), [
            ("recirc_operation_busy", True)]

    async def energy(self):
        now = datetime.now()
        daily = await self.answered(self.mqtt.subscribe_energy_usage, self.mqtt.unsubscribe_energy_usage,
                                    self.mqtt.request_energy_usage(self.device, now.year, [now.month]))
        month = daily.get_month_data(now.year, now.month)
        expect(month and len(month.data) >= 28, "the days of this month are missing")
        monthly = await self.answered(self.mqtt.subscribe_energy_usage_monthly,
                                      self.mqtt.unsubscribe_energy_usage_monthly,
                                      self.mqtt.request_energy_usage_monthly(self.device, [now.year]))
        year = monthly.get_year_data(now.year)
        expect(year and len(year.data) == 12, "the months of this year are missing")
        expect(daily.total.total_usage >= sum(day.total_usage for day in month.data), "the total is that of the life")
        return f"{daily.total.total_usage / 1000:.1f} kWh in all"

    async def diagnostics(self):
        told = await self.answered(self.mqtt.subscribe_diagnostics, self.mqtt.unsubscribe_diagnostics,
                                   self.mqtt.request_diagnostics(self.device))
        for part in (told, told.ts_data, told.td_data, told.ta_data):
            expect_whole(part)
        expect(told.ts_data.cumulated_pwr_hp > 0, "no energy was counted")
        return f"{told.ts_data.days_since_installation} days since installation"

    async def firmware(self):
        told = await self.answered(self.mqtt.subscribe_firmware_download_info,
                                   self.mqtt.unsubscribe_firmware_download_info,
                                   self.mqtt.request_firmware_download_info(self.device))
        new = told.download_sw_info[0]
        await self.answered(self.mqtt.subscribe_firmware_commit_response,
                            self.mqtt.unsubscribe_firmware_commit_response,
                            self.mqtt.commit_firmware_update(self.device, OtaCommitPayload(
                                sw_code=new.sw_code, sw_version=new.sw_version)))
        info = self.device.device_info
        held = await self.api.get_firmware_info(info.mac_address, info.additional_value)
        expect(any(part.cur_version == new.sw_version for part in held), "the new version is not in use")
        return f"{new.component_name} {new.sw_version} installed"

    async def reservations(self):
        before = await fetch_reservations(self.mqtt, self.device)
        expect(before, "no answer")
        count = len(before.reservation)
        await add_reservation(self.mqtt, self.device, enabled=True, days=["Monday", "SA"], hour=6, minute=30, mode=3,
                              temperature=122)
        added = await self.fetched(lambda schedule: len(schedule.reservation) == count + 1)
        expect(added.enabled and added.reservation[-1].days == ["Monday", "Saturday"], f"{added.reservation[-1]}")
        expect(abs(added.reservation[-1].temperature - 122) < 1, f"{added.reservation[-1]}")
        await update_reservation(self.mqtt, self.device, count + 1, hour=7)
        await self.fetched(lambda schedule: schedule.reservation[-1].hour == 7)
        await delete_reservation(self.mqtt, self.device, count + 1)
        await self.fetched(lambda schedule: len(schedule.reservation) == count)
        entries = [{"enable": 2, "week": 254, "hour": hour, "min": 0, "mode": 1, "param": 100} for hour in range(24)]
        confirmed = await update_reservations_confirmed(self.mqtt, self.device, entries, enabled=False)
        expect(confirmed and len(confirmed.reservation) == 24 and not confirmed.enabled, "no confirmation")
        hexadecimal = asyncio.Queue()
        await self.mqtt.subscribe(f"cmd/52/{self.mqtt.client_id}/res/rsv",
                                  lambda topic, message: hexadecimal.put_nowait(message["response"]))
        await self.mqtt.request_reservations(self.device)
        told = ReservationSchedule.model_validate(await asyncio.wait_for(hexadecimal.get(), PATIENCE))
        expect(told.canonical() == confirmed.canonical(), f"in hexadecimal: {told}")
        return f"added, changed, deleted; {len(entries)} written, read as a list and in hexadecimal"

    async def fetched(self, is_it):
        schedule = await fetch_reservations(self.mqtt, self.device)
        expect(schedule and is_it(schedule), f"read back: {schedule}")
        return schedule

    async def tou(self):
        period = {"season": 4095, "week": 254, "startHour": 1, "startMinute": 0, "endHour": 1, "endMinute": 59,
                  "priceMin": 10, "priceMax": 25, "decimalPoint": 2}
        told = await self.answered(self.mqtt.subscribe_tou_response, self.mqtt.unsubscribe_tou_response,
                                   self.mqtt.configure_tou_schedule(
                                       self.device, self.feature.controller_serial_number, [period], enabled=False))
        expect(len(told.reservation) == 1 and not told.enabled, f"{told}")
        expect(told.reservation[0].model_dump(by_alias=True, exclude_computed_fields=True) == period, f"{told}")
        return "written and confirmed"

    async def recirculation(self):
        wanted = RecirculationSchedule(reservationUse=2, reservation=[
            {"enable": 2, "week": 254, "hour": 6, "min": 0, "mode": 2, "param": -1},
            {"enable": 2, "week": 254, "hour": 8, "min": 0, "mode": 1, "param": -1}])
        topic = (self.mqtt.subscribe_recirculation_schedule_response,
                 self.mqtt.unsubscribe_recirculation_schedule_response)
        written = await self.answered(*topic, self.mqtt.configure_recirculation_schedule(self.device, wanted))
        read = await self.answered(*topic, self.mqtt.request_recirculation_schedule(self.device))
        for told in (written, read):
            expect(told.canonical() == wanted.canonical(), f"{told}")
        return f"{len(read.reservation)} entries written and read"

    # Faults

    async def push(self):
        while not self.statuses.empty():
            self.statuses.get_nowait()
        await self.post("/faults", {"fault": "push"})
        await asyncio.wait_for(self.statuses.get(), PATIENCE)
        return "a status that nobody asked for"

    async def error(self):
        told = asyncio.Queue()
        self.mqtt.on(MqttClientEvents.ERROR_DETECTED, told.put_nowait)
        self.mqtt.on(MqttClientEvents.ERROR_CLEARED, told.put_nowait)
        await self.status()
        await self.post("/faults", {"fault": "heater", "index": 0, "state": {"error": 799}})
        await self.status()
        detected = await asyncio.wait_for(told.get(), PATIENCE)
        listed = (await self.api.list_devices())[0].error.error_code
        expect(listed == detected.error_code, f"{listed} in the list")
        await self.post("/faults", {"fault": "heater", "index": 0, "state": "online"})
        await self.status()
        await asyncio.wait_for(told.get(), PATIENCE)
        return f"{detected.error_code.name} detected and cleared"

    async def reset(self, *faults):
        lost = asyncio.Event()
        self.mqtt.once(MqttClientEvents.CONNECTION_INTERRUPTED, lambda event: lost.set())
        await self.post("/faults", [*faults, {"fault": "reset"}])
        await asyncio.wait_for(lost.wait(), PATIENCE)
        began = time.monotonic()
        # Either the AWS client or the library connects again, and only the former is told as an event; answers that
        # come before the subscriptions are back are lost.
        async with asyncio.timeout(2 * PATIENCE):
            while True:
                try:
                    async with asyncio.timeout(1):
                        await self.status()
                        return f"a status {time.monotonic() - began:.1f} s later"
                except TimeoutError:
                    pass

    async def refused_keys(self):
        # The library renews the keys at the tenth attempt otherwise.
        self.mqtt.config.deep_reconnect_threshold = 1
        before = self.auth.current_tokens.access_key_id
        said = await self.reset({"fault": "expire-aws"})
        expect(self.auth.current_tokens.access_key_id != before, "the keys are the old ones")
        return said + ", with new keys"

    async def disconnect(self):
        await self.mqtt.disconnect()
        expect(not self.mqtt.is_connected, "still connected")


async def main(folder):
    about = json.loads((folder / "about.json").read_text())
    authority = str(folder / "ca.pem")
    connection.mqtt_connection_builder.websockets_with_default_aws_signing = functools.partial(
        connection.mqtt_connection_builder.websockets_with_default_aws_signing,
        port=urlsplit(about["mqtt_url"]).port, ca_filepath=authority)
    complaints = Complaints()
    logging.getLogger("nwp500").addHandler(complaints)
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=authority))
    async with aiohttp.ClientSession(connector=connector) as session:
        table, client = Table(complaints), Client(about, session)
        await table.check("a wrong password", client.wrong_password(), complains=True)
        await table.check("sign-in", client.sign_in())
        await table.check("renewal", client.renew())
        await table.check("list, device, firmware", client.list())
        await table.check("connect", client.connect())
        await table.check("status", client.plausible())
        await table.check("feature", client.information())
        if table.failed:
            print("the rest needs what failed")
            return 1
        await table.check("refused over REST", client.refused(), complains=True)
        await table.check("the second heater", client.second())
        for name, request, fields in client.controls():
            await table.check(name, client.control(request, *fields))
        await table.check("a control too soon", client.too_soon(), complains=True)
        await table.check("energy", client.energy())
        await table.check("diagnostics", client.diagnostics())
        await table.check("firmware downloads", client.firmware())
        await table.check("reservations", client.reservations())
        await table.check("time of use over MQTT", client.tou())
        await table.check("time of use over REST", client.tou_info())
        await table.check("recirculation schedule", client.recirculation())
        await table.check("push", client.push())
        await table.check("error of the heater", client.error())
        await table.check("reset of the connection", client.reset(), complains=True)
        await table.check("temperature after the reset", client.control(
            client.mqtt.set_dhw_temperature(client.device, 131), ("dhw_temperature_setting", 131)))
        await table.check("refused AWS keys", client.refused_keys(), complains=True)
        await table.check("disconnect", client.disconnect())
    print(f"{table.passed} passed, {table.failed} failed")
    return 1 if table.failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(asyncio.wait_for(main(Path(sys.argv[1])), PATIENCE_FOR_ALL)))
