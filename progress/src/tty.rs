//! Progress on a terminal: finished steps scroll away as lines; at the bottom a small region,
//! redrawn in place, shows the running steps, what they count and the last lines they wrote.

use std::{
    collections::HashMap,
    io::{self, Write},
    time::Duration,
};

use mlbuild_proto::moby::buildkit::v1::StatusResponse;

use super::{
    renderer::Renderer,
    state::{Event, Nanos, State, Step, StepStatus, Task},
    terminal::{Cursor, Looks, Size, SizeOf},
    text::{brief, fit, human_bytes, human_duration, short_digest},
};

/// Most rows that the live region takes.
const MAX_ROWS: usize = 24;
/// Log lines shown under running steps, in all.
const LOG_ROWS: usize = 8;
/// Tasks shown under one running step.
const TASK_ROWS: usize = 4;

const SYNC_BEGIN: &str = "\x1b[?2026h";
const SYNC_END: &str = "\x1b[?2026l";

const GREEN: &str = "32";
const RED: &str = "31";
const CYAN: &str = "36";
const DIM: &str = "2";
const BOLD: &str = "1";

/// See the [module](self).
pub(crate) struct Tty<W: Write> {
    cursor: Cursor<W>,
    size: SizeOf,
    looks: Looks,
    started: Nanos,
    /// Widths of the rows of the live region as last drawn; the cursor is on the last one.
    drawn: Vec<usize>,
    /// Steps whose end has been written, with what was said.
    ended: HashMap<usize, (StepStatus, Duration)>,
    /// Finished lines that wait for the next drawing.
    scroll: Vec<String>,
}

impl<W: Write> Tty<W> {
    pub(crate) fn new(out: W, is_stderr: bool, size: SizeOf, looks: Looks, now: Nanos) -> Self {
        Self {
            cursor: Cursor::hide(out, is_stderr),
            size,
            looks,
            started: now,
            drawn: Vec::new(),
            ended: HashMap::new(),
            scroll: Vec::new(),
        }
    }

    fn size(&self) -> Size {
        (self.size)()
            .filter(|s| s.width > 0 && s.height > 0)
            .unwrap_or(Size {
                width: 80,
                height: 24,
            })
    }

    fn take_event(&mut self, state: &State, event: &Event, now: Nanos) {
        let &Event::Step(index) = event else { return };
        let step = &state.steps()[index];
        let status = step.status();
        if !step.is_shown() || !status.is_finished() {
            return;
        }
        let elapsed = step.elapsed(now);
        if !status.is_news(elapsed, self.ended.get(&index)) {
            return;
        }
        self.scroll.push(finished_line(
            step,
            &status,
            elapsed,
            self.size().width,
            self.looks,
        ));
        self.ended.insert(index, (status, elapsed));
    }

    /// Replaces the live region by the lines that scroll away and the `region` under them.
    fn draw(&mut self, region: &[String]) -> io::Result<()> {
        let size = self.size();
        let mut text = String::from(SYNC_BEGIN);
        text.push('\r');
        let up = rows_above(&self.drawn, size.width);
        if up > 0 {
            text += &format!("\x1b[{up}A");
        }
        for line in std::mem::take(&mut self.scroll) {
            text += &format!("{line}\x1b[K\n");
        }
        for (row, line) in region.iter().enumerate() {
            text += if row > 0 { "\n" } else { "" };
            text += &format!("{line}\x1b[K");
        }
        text += "\x1b[J";
        text += SYNC_END;
        self.drawn = region
            .iter()
            .map(|l| console::measure_text_width(l))
            .collect();
        self.cursor.out.write_all(text.as_bytes())?;
        self.cursor.out.flush()
    }

    fn redraw(&mut self, state: &State, now: Nanos) -> io::Result<()> {
        let total = Duration::from_nanos((now - self.started).max(0).unsigned_abs());
        let region = live_region(state, now, total, self.size(), self.looks);
        self.draw(&region)
    }
}

impl<W: Write + Send> Renderer for Tty<W> {
    fn update(
        &mut self,
        state: &State,
        _: &StatusResponse,
        events: &[Event],
        now: Nanos,
    ) -> io::Result<()> {
        for event in events {
            self.take_event(state, event, now);
        }
        Ok(())
    }

    fn tick(&mut self, state: &State, now: Nanos) -> io::Result<()> {
        self.redraw(state, now)
    }

    fn note(&mut self, state: &State, text: &str, now: Nanos) -> io::Result<()> {
        self.scroll.extend(text.lines().map(str::to_owned));
        self.redraw(state, now)
    }

    fn finish(&mut self, state: &State, events: &[Event], now: Nanos) -> io::Result<()> {
        for event in events {
            self.take_event(state, event, now);
        }
        // Steps that never came to an end are not forgotten silently.
        for (index, step) in state.steps().iter().enumerate() {
            if step.is_shown() && step.status() == StepStatus::Running {
                let line = finished_line(
                    step,
                    &StepStatus::Canceled,
                    step.elapsed(state.daemon_time(now)),
                    self.size().width,
                    self.looks,
                );
                self.scroll.push(line);
                self.ended
                    .insert(index, (StepStatus::Canceled, Duration::ZERO));
            }
        }
        self.draw(&[])?;
        self.drawn.clear();
        Ok(())
    }
}

/// How many rows are above the cursor, which stands on the last of rows drawn with these widths:
/// a terminal that became narrower since has wrapped them.
fn rows_above(drawn: &[usize], width: usize) -> usize {
    let rows: usize = drawn.iter().map(|w| w.div_ceil(width).max(1)).sum();
    rows.saturating_sub(1)
}

/// A step that is done, as one row.
fn finished_line(
    step: &Step,
    status: &StepStatus,
    elapsed: Duration,
    width: usize,
    looks: Looks,
) -> String {
    let (symbol, color, word) = match status {
        StepStatus::Cached => (
            if looks.unicode { "✓" } else { "+" },
            GREEN,
            "cached".to_owned(),
        ),
        StepStatus::Failed(_) => (
            if looks.unicode { "✗" } else { "x" },
            RED,
            "failed".to_owned(),
        ),
        StepStatus::Canceled => (
            if looks.unicode { "–" } else { "-" },
            DIM,
            "canceled".to_owned(),
        ),
        _ => (
            if looks.unicode { "✓" } else { "+" },
            GREEN,
            human_duration(elapsed),
        ),
    };
    let name_style = match status {
        StepStatus::Failed(_) => BOLD,
        _ if step.name.starts_with("[internal]") => DIM,
        _ => "",
    };
    row(
        &looks.paint(color, symbol),
        step.shown_name(),
        name_style,
        &word,
        width,
        looks,
    )
}

/// `symbol name … right`, exactly as wide as the terminal allows.
fn row(symbol: &str, name: &str, style: &str, right: &str, width: usize, looks: Looks) -> String {
    // On a terminal too narrow for both, the name matters more than the time.
    let right = if width < 24 { "" } else { right };
    let right_width = console::measure_text_width(right);
    let room = width.saturating_sub(4 + right_width + usize::from(right_width > 0));
    let name = brief(name);
    let name = fit(&name, room, looks.ellipsis());
    let pad = room.saturating_sub(console::measure_text_width(&name)) + 1;
    let name = if style.is_empty() {
        name.into_owned()
    } else {
        looks.paint(style, &name)
    };
    if right.is_empty() {
        return fit(&format!(" {symbol} {name}"), width, "").into_owned();
    }
    format!(" {symbol} {name}{:pad$}{}", "", looks.paint(DIM, right))
}

/// The rows at the bottom of the screen: never more than fit, and never wider.
fn live_region(
    state: &State,
    now: Nanos,
    total: Duration,
    size: Size,
    looks: Looks,
) -> Vec<String> {
    let width = size.width;
    let rows = size.height.saturating_sub(1).clamp(1, MAX_ROWS);
    let time = state.daemon_time(now);
    let running: Vec<&Step> = state
        .steps()
        .iter()
        .filter(|s| s.is_shown() && s.status() == StepStatus::Running)
        .collect();
    let summary = summary_line(state, total, width, looks);
    // Newest steps last: where there are too many, the ones longest at work are named first.
    let room = rows - 1;
    let named = if running.len() > room {
        room.saturating_sub(1)
    } else {
        running.len()
    };
    let mut extra = room - named - usize::from(named < running.len() && room > 0);
    let log_each = LOG_ROWS.min(extra) / named.max(1);

    let mut lines = Vec::new();
    for step in &running[..named] {
        let symbol = looks.paint(CYAN, spinner(now, looks));
        let elapsed = human_duration(step.elapsed(time));
        lines.push(row(
            &symbol,
            step.shown_name(),
            BOLD,
            &elapsed,
            width,
            looks,
        ));
        let tasks = step.tasks.iter().filter(|t| t.completed.is_none());
        for task in tasks.take(TASK_ROWS.min(extra)) {
            lines.push(task_row(task, width, looks));
            extra -= 1;
        }
        let tail = log_tail(step, log_each.min(extra));
        extra -= tail.len();
        let bar = if looks.unicode { "│" } else { "|" };
        for text in tail {
            let text = fit(&text, width.saturating_sub(6), looks.ellipsis()).into_owned();
            lines.push(looks.paint(DIM, &format!("   {bar} {text}")));
        }
    }
    if named < running.len() && room > 0 {
        let more = format!("   and {} more running", running.len() - named);
        lines.push(fit(&more, width.saturating_sub(1), looks.ellipsis()).into_owned());
    }
    lines.push(summary);
    lines
}

/// The last lines of a step, with the unfinished one.
fn log_tail(step: &Step, count: usize) -> Vec<String> {
    let partial = step.partial_line().filter(|l| !l.trim().is_empty());
    let kept = count.saturating_sub(usize::from(partial.is_some()));
    let whole = step.log.lines().filter(|l| !l.text.trim().is_empty());
    let mut lines: Vec<String> = whole.rev().take(kept).map(|l| l.text.clone()).collect();
    lines.reverse();
    lines.extend(partial.filter(|_| count > 0));
    lines
}

fn task_row(task: &Task, width: usize, looks: Looks) -> String {
    let counts = match (task.current, task.total) {
        (0, 0) => String::new(),
        (current, 0) => human_bytes(current),
        (current, total) => format!("{} / {}", human_bytes(current), human_bytes(total)),
    };
    let id = short_digest(&task.id);
    let bar = if width >= 60 && task.total > 0 {
        let share = (task.current as f64 / task.total as f64).clamp(0.0, 1.0);
        let full = (share * 20.0) as usize;
        let (on, off) = if looks.unicode {
            ("━", "─")
        } else {
            ("#", ".")
        };
        format!(
            "{}{} ",
            looks.paint(CYAN, &on.repeat(full)),
            looks.paint(DIM, &off.repeat(20 - full))
        )
    } else {
        String::new()
    };
    let room = width.saturating_sub(
        6 + console::measure_text_width(&counts) + console::measure_text_width(&bar),
    );
    let text = format!("   {} {bar}{counts}", fit(&id, room, looks.ellipsis()));
    fit(text.trim_end(), width.saturating_sub(1), "").into_owned()
}

fn summary_line(state: &State, total: Duration, width: usize, looks: Looks) -> String {
    let shown = || state.steps().iter().filter(|s| s.is_shown());
    let count = |wanted: fn(&StepStatus) -> bool| shown().filter(|s| wanted(&s.status())).count();
    let mut text = format!(
        " building {} · {}/{} steps",
        human_duration(total),
        count(StepStatus::is_finished),
        shown().count()
    );
    let cached = count(|s| *s == StepStatus::Cached);
    if cached > 0 {
        text += &format!(" · {cached} cached");
    }
    if !looks.unicode {
        text = text.replace('·', "-");
    }
    looks.paint(BOLD, &fit(&text, width.saturating_sub(1), looks.ellipsis()))
}

fn spinner(now: Nanos, looks: Looks) -> &'static str {
    const BRAILLE: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
    const ASCII: [&str; 4] = ["|", "/", "-", "\\"];
    let frame = (now / 100_000_000).unsigned_abs() as usize;
    if looks.unicode {
        BRAILLE[frame % BRAILLE.len()]
    } else {
        ASCII[frame % ASCII.len()]
    }
}

#[cfg(test)]
mod tests;
