//! What the system says of this process, where it is Linux; nothing elsewhere.

use std::fs;

use super::{Snapshot, table};

/// How many parts a second has in `/proc`, for whatever hardware.
const TICKS: f64 = 100.0;

/// Adds what is known of the process.
pub(super) fn measure(snapshot: &mut Snapshot) {
    if let Some(stat) = read("/proc/self/stat").as_deref().and_then(Stat::read) {
        snapshot.number(&table::PROCESS_CPU, stat.cpu / TICKS);
        snapshot.number(&table::PROCESS_THREADS, stat.threads);
        snapshot.number(&table::PROCESS_VIRTUAL, stat.virtual_bytes);
        let boot = read("/proc/stat").as_deref().and_then(boot_time);
        if let Some(boot) = boot {
            snapshot.number(&table::PROCESS_START, boot + stat.start / TICKS);
        }
    }
    if let Some(resident) = read("/proc/self/status").as_deref().and_then(resident) {
        snapshot.number(&table::PROCESS_RESIDENT, resident);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is for reading this.
        snapshot.number(&table::PROCESS_FDS, open.count().saturating_sub(1) as f64);
    }
    if let Some(limit) = read("/proc/self/limits").as_deref().and_then(most_fds) {
        snapshot.number(&table::PROCESS_FDS_LIMIT, limit);
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

struct Stat {
    cpu: f64,
    threads: f64,
    start: f64,
    virtual_bytes: f64,
}

impl Stat {
    fn read(text: &str) -> Option<Self> {
        // The name in brackets may hold anything.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<_> = rest.split_ascii_whitespace().collect();
        // Counted as in proc(5), where the first after the name is the third.
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu: field(14)? + field(15)?,
            threads: field(20)?,
            start: field(22)?,
            virtual_bytes: field(23)?,
        })
    }
}

fn boot_time(text: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn resident(text: &str) -> Option<f64> {
    let size = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = size.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

fn most_fds(text: &str) -> Option<f64> {
    let limits = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    limits.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_read() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 9 0 1000 4096000 3 0";
        let stat = Stat::read(stat).unwrap();
        assert_eq!((stat.cpu, stat.threads), (300.0, 9.0));
        assert_eq!((stat.start, stat.virtual_bytes), (1_000.0, 4_096_000.0));
        assert_eq!(boot_time("cpu 1 2\nbtime 1700000000\nx 1"), Some(1.7e9));
        assert_eq!(resident("Name:\tx\nVmRSS:\t    13 kB\n"), Some(13_312.0));
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files   1024   4096   files\n";
        assert_eq!(most_fds(limits), Some(1024.0));
        assert_eq!(most_fds("Max open files unlimited unlimited files"), None);
    }
}
