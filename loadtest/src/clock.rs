//! What this thread and this process have used.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// CPU time of this thread: what other processes on the machine take is not counted.
pub(crate) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// The memory that a process has in use; `None` where there is no /proc, and for a process that is gone.
pub(crate) fn rss_bytes(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}
