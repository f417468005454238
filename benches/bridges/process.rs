//! What a process takes of the machine, read from `/proc`.

use std::fs;
use std::time::Duration;

/// What a process has taken until now.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    pub cpu: Duration,
    /// Its resident memory, in MiB.
    pub resident: f64,
    pub threads: u64,
    /// How often its threads were switched to another.
    pub switches: u64,
}

impl Usage {
    pub fn of(process: u32) -> Self {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        // What follows the name, which may hold spaces: `utime` and `stime` are fields 14 and 15, in hundredths of a second.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let switches = fs::read_dir(format!("/proc/{process}/task")).unwrap().map(|task| {
            let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap_or_default();
            value(&status, "voluntary_ctxt_switches") + value(&status, "nonvoluntary_ctxt_switches")
        });
        Self {
            cpu: Duration::from_millis(10 * ticks),
            resident: value(&status, "VmRSS") as f64 / 1024.0,
            threads: value(&status, "Threads"),
            switches: switches.sum(),
        }
    }

    /// What it took since an earlier moment; memory and threads are those of now.
    pub fn since(&self, earlier: &Self) -> Self {
        Self { cpu: self.cpu - earlier.cpu, switches: self.switches.saturating_sub(earlier.switches), ..*self }
    }
}

fn value(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
