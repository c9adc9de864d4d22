//! The most memory that a command ever had.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Runs a command to its end; gives its exit code, stdout, and the most memory that it ever had, in KiB.
pub fn measured(command: &mut Command) -> (Option<i32>, Vec<u8>, u64) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        out.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse().ok());
        most = most.max(peak.unwrap_or(0));
        if let Some(ended) = child.try_wait().unwrap() {
            assert!(most > 0, "the command was never seen");
            return (ended.code(), reader.join().unwrap(), most);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
