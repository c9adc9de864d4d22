//! Whole progresses, from the first message to the trace.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{testing::*, *};

/// A writer that the test can read.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A terminal that is gone.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn tell(mode: ProgressMode, output: ProgressOutput) -> BuildTrace {
    let (sender, handle) = Progress::start(mode, output);
    for (_, message) in failing_build() {
        sender.send(message).await.unwrap();
    }
    handle.finish().await
}

#[tokio::test]
async fn the_trace_is_the_same_however_it_is_told() {
    for mode in ["auto", "tty", "plain", "rawjson", "quiet"] {
        let screen = Shared::default();
        let trace = tell(
            mode.parse().unwrap(),
            ProgressOutput::writer(screen.clone()),
        )
        .await;
        assert_eq!(screen.text().is_empty(), mode == "quiet", "{mode}");
        assert_eq!(trace.cached(), 1);
        let failed: Vec<_> = trace.failed().collect();
        assert_eq!(failed.len(), 1);
        assert_eq!(failed[0].name, "[stage-1 2/2] RUN pip install nump");
        assert_eq!(failed[0].duration, Duration::from_millis(1400));
        assert_eq!(
            failed[0].log.last().unwrap().text,
            "ERROR: No matching distribution found for nump"
        );
        assert_eq!(trace.step_of("apt").unwrap().status, StepStatus::Canceled);
    }
}

#[tokio::test]
async fn auto_means_plain_where_there_is_no_terminal() {
    let screen = Shared::default();
    tell(ProgressMode::Auto, ProgressOutput::writer(screen.clone())).await;
    assert!(screen.text().contains("#1 [internal] load build context\n"));
    assert!(!screen.text().contains('\x1b'));
    let screen = Shared::default();
    let size = || {
        Some(Size {
            width: 80,
            height: 24,
        })
    };
    tell(
        ProgressMode::Auto,
        ProgressOutput::terminal(screen.clone(), size),
    )
    .await;
    assert!(
        screen.text().starts_with("\x1b[?25l"),
        "{:?}",
        screen.text()
    );
    assert!(screen.text().ends_with("\x1b[?25h"), "{:?}", screen.text());
}

#[tokio::test]
async fn a_closed_output_does_not_stop_the_build() {
    for mode in [
        ProgressMode::Tty,
        ProgressMode::Plain,
        ProgressMode::RawJson,
    ] {
        assert_eq!(
            tell(mode, ProgressOutput::writer(Closed))
                .await
                .failed()
                .count(),
            1
        );
    }
}

#[tokio::test]
async fn the_clients_own_steps_are_told_among_the_builders() {
    let screen = Shared::default();
    let (_sender, handle) =
        Progress::start(ProgressMode::Plain, ProgressOutput::writer(screen.clone()));
    let steps = handle.local_steps();
    let push = steps.begin("pushing layers");
    push.bytes("sha256:0123", 1_000, 2_000);
    push.bytes("sha256:0123", 1_500, 2_000);
    push.bytes_done("sha256:0123", 2_000);
    push.log("retrying once");
    push.done();
    steps
        .begin("pushing manifest")
        .failed("the registry said no");
    drop(steps.begin("never ended"));
    handle.note("a note");
    let trace = handle.finish().await;
    // A tick may come between two counts.
    let lines = screen.text();
    let lines: Vec<&str> = lines.lines().filter(|l| !l.ends_with("kB")).collect();
    let text = lines.join("\n");
    let times = regex::Regex::new(r"\d+\.\d+s?").unwrap();
    insta::assert_snapshot!(times.replace_all(&text, "T"), @r"
    #1 pushing layers
    #1 sha256:0123 TkB / TkB done
    #1 T retrying once
    #1 DONE T

    #2 pushing manifest
    #2 ERROR: the registry said no

    #3 never ended
    #3 CANCELED
    a note
    ");
    assert_eq!(trace.steps.len(), 3);
    assert_eq!(trace.steps[2].status, StepStatus::Canceled);
}

#[tokio::test]
async fn a_dropped_handle_gives_the_cursor_back() {
    let screen = Shared::default();
    let size = || {
        Some(Size {
            width: 80,
            height: 24,
        })
    };
    let (sender, handle) = Progress::start(
        ProgressMode::Tty,
        ProgressOutput::terminal(screen.clone(), size),
    );
    drop(handle);
    sender.closed().await;
    for _ in 0..100 {
        if screen.text().ends_with("\x1b[?25h") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?}", screen.text());
}

#[test]
fn modes_have_the_names_that_buildx_uses_and_one_of_ours() {
    assert_eq!("rawjson".parse(), Ok(ProgressMode::RawJson));
    assert_eq!(
        "fancy".parse::<ProgressMode>().unwrap_err(),
        "unknown progress mode \"fancy\": use one of auto, tty, plain, rawjson, json, quiet"
    );
}
