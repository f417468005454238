// Everything around the page: the simulated cloud with two heaters, mosquitto, and the real bridge with its page.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const LIMIT = 60000; // for whatever is waited for, ms: generous, since the machine may be busy

export async function until(what, condition) {
  const end = Date.now() + LIMIT;
  for (;;) {
    const result = await Promise.resolve().then(condition).catch(() => null);
    if (result) return result;
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// Below the ports that the system gives to whoever asks for any, and far from those of another run.
let next = process.pid * 131;
async function freePort() {
  for (;;) {
    const port = 20000 + (next++ % 12000);
    const server = createServer();
    const isFree = await new Promise((resolve) => {
      server.once("error", () => resolve(false)).listen(port, "127.0.0.1", () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

const find = (name) => [`/usr/sbin/${name}`, `/usr/local/sbin/${name}`].find(existsSync) ?? name;

export class World {
  folder = mkdtempSync(join(tmpdir(), "navien2mqtt-page-"));
  children = new Map();

  static async begin(program, prepare = () => {}) {
    const world = new World();
    process.once("exit", () => world.end());
    try {
      await world.#begin(program, prepare);
    } catch (error) {
      world.tellLogs();
      throw error;
    }
    return world;
  }

  async #begin(program, prepare) {
    this.program = program;
    [this.broker, this.http] = [await freePort(), await freePort()];
    const user = process.getuid() === 0 ? "user root\n" : "";
    writeFileSync(`${this.folder}/mosquitto.conf`, `listener ${this.broker} 127.0.0.1\nallow_anonymous true\n${user}`);
    this.start("mosquitto", find("mosquitto"), ["-c", `${this.folder}/mosquitto.conf`]);
    this.start("cloud", program, ["simulate", "-q", "--heaters=2", `--directory=${this.folder}/cloud`]);
    this.about = await until("the simulated cloud", () => JSON.parse(this.log("cloud").split("\n")[0]));
    await prepare(this);
    writeFileSync(`${this.folder}/navien2mqtt.toml`, `
[account]
email = "${this.about.email}"
password = "${this.about.password}"
[cloud]
api_url = "${this.about.api_url}"
mqtt_url = "${this.about.mqtt_url}"
ca_file = "${this.about.ca_file}"
status_interval = "1s"
[reconnect]
initial_delay = "2s"
max_delay = "3s"
max_attempts = 99
[broker]
url = "mqtt://127.0.0.1:${this.broker}"
[http]
listen = "127.0.0.1:${this.http}"
[state]
directory = "${this.folder}/state"
`);
    await this.startBridge();
  }

  get url() {
    return `http://127.0.0.1:${this.http}/`;
  }

  start(name, program, parameters) {
    const log = openSync(`${this.folder}/${name}.log`, "a");
    const child = spawn(program, parameters, { stdio: ["ignore", log, log] });
    child.on("error", (error) => console.error(`${name}: ${error.message}`));
    this.children.set(name, child);
  }

  async startBridge() {
    this.start("bridge", this.program, ["run", "--config", `${this.folder}/navien2mqtt.toml`]);
    await until("the bridge's first statuses", async () => {
      const { connection, heaters } = await this.read("state");
      return connection.state === "connected" && heaters.length === 2 && heaters.every(({ status }) => status);
    });
  }

  async stopBridge() {
    const child = this.children.get("bridge");
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    await ended;
  }

  log(name) {
    return readFileSync(`${this.folder}/${name}.log`, "utf8");
  }

  async read(what) {
    return (await fetch(this.url + what, { signal: AbortSignal.timeout(5000) })).json();
  }

  async fault(...faults) {
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify(faults);
    const answer = await fetch(`${this.about.control_url}/faults`, { method: "POST", headers, body });
    if (!answer.ok) throw new Error(`${JSON.stringify(faults)}: ${answer.status}`);
  }

  set(heater, name, value) {
    const topic = `navien2mqtt/${this.about.heaters[heater]}/set/${name}`;
    execFileSync("mosquitto_pub", ["-p", String(this.broker), "-t", topic, "-m", String(value)]);
  }

  tellLogs() {
    for (const name of this.children.keys()) console.error(`--- ${name}\n${this.log(name).slice(-4000)}`);
  }

  // Runs when the process ends, too, so it must not wait.
  end() {
    for (const child of this.children.values()) child.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}
