//! Whom a signal must be sent to. In a terminal's foreground Apptainer takes it that the terminal sends each one to
//! all processes, and passes none on that it gets itself; so one that is meant for the container goes to its program.

use std::fs;
use std::io::{stderr, stdin, stdout};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, getpgrp};
use rustix::termios::tcgetpgrp;

/// How often the program is looked for, which a mount may keep waiting.
const TRIES: u32 = 100;
/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Who gets what is sent to the container that a process of Apptainer's keeps: the process itself where it passes
/// signals on, and where there is no program.
pub(in crate::start) fn heard_by(apptainer: Pid) -> Pid {
    if !is_foreground() {
        return apptainer;
    }
    for _ in 0..TRIES {
        if let Some(program) = program_of(apptainer) {
            return program;
        }
        // It has ended.
        if children(apptainer).is_none() {
            break;
        }
        sleep(PAUSE);
    }
    apptainer
}

/// As Apptainer asks: by the first of its files that is a terminal.
fn is_foreground() -> bool {
    let mut groups = [tcgetpgrp(stdin()), tcgetpgrp(stdout()), tcgetpgrp(stderr())]
        .into_iter()
        .flatten();
    groups.next() == Some(getpgrp())
}

/// The program that Apptainer started: below the first process of the container, where it has numbers of its own.
fn program_of(apptainer: Pid) -> Option<Pid> {
    let first = ours(apptainer)?;
    if !is_init(first) {
        return Some(first);
    }
    ours(first)
}

/// The oldest child in our process group: what mounts the image has a group of its own.
fn ours(parent: Pid) -> Option<Pid> {
    let group = getpgrp().as_raw_nonzero().get();
    let started = |child: &Pid| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.as_raw_nonzero())).ok()?;
        // A name may have spaces and brackets.
        let (_, fields) = stat.rsplit_once(") ")?;
        let fields: Vec<u64> = fields
            .split(' ')
            .map(|field| field.parse().unwrap_or(0))
            .collect();
        let (own, start) = (fields.get(2)?, fields.get(19)?);
        (i64::try_from(*own) == Ok(i64::from(group))).then_some(*start)
    };
    let children = children(parent)?.into_iter();
    let known = children.filter_map(|child| Some((started(&child)?, child)));
    known
        .min_by_key(|(start, _)| *start)
        .map(|(_, child)| child)
}

/// Whether it is number 1 of a PID namespace below this one.
fn is_init(process: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero()));
    let status = status.unwrap_or_default();
    let mut lines = status.lines();
    let numbers = lines.find_map(|line| line.strip_prefix("NSpid:"));
    let numbers = numbers.unwrap_or_default().split_whitespace().skip(1);
    numbers.last() == Some("1")
}

/// The children of all its threads; `None` where it is gone.
fn children(parent: Pid) -> Option<Vec<Pid>> {
    let threads = fs::read_dir(format!("/proc/{}/task", parent.as_raw_nonzero())).ok()?;
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let mut all = Vec::new();
    for list in lists {
        let numbers = list
            .split_whitespace()
            .filter_map(|number| number.parse().ok());
        all.extend(numbers.filter_map(Pid::from_raw));
    }
    Some(all)
}
