//! Runs `nvidia-smi`, which a broken driver can make hang.

use std::{
    io::Read,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The standard output of a program, or why there is none.
pub(super) fn output_of(program: &Path, args: &[&str]) -> Result<String, String> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| e.to_string())?;
    let mut pipe = child.stdout.take().ok_or("no output")?;
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        pipe.read_to_end(&mut text)
            .map(|_| String::from_utf8_lossy(&text).into_owned())
    });
    let started = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if started.elapsed() < ANSWER_TIMEOUT => {
                std::thread::sleep(Duration::from_millis(10))
            }
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("no answer in {} s", ANSWER_TIMEOUT.as_secs()));
            }
        }
    };
    let text = reader
        .join()
        .map_err(|_| "unreadable output")?
        .map_err(|e| e.to_string())?;
    if status.success() {
        return Ok(text);
    }
    // It tells its errors on standard output.
    let first = text.lines().next().unwrap_or_default().trim();
    Err(if first.is_empty() {
        status.to_string()
    } else {
        first.to_owned()
    })
}
