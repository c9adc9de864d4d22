//! Each test draws on an emulated terminal and looks at what its screen shows.

use std::{
    num::NonZero,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{super::testing::*, *};

const PLAIN: Looks = Looks {
    color: false,
    unicode: true,
};

/// An emulated terminal that can be resized while it is drawn on.
struct Screen {
    parser: Arc<Mutex<vt100::Parser>>,
    width: Arc<AtomicUsize>,
    height: Arc<AtomicUsize>,
    written: Arc<AtomicUsize>,
}

fn cells(count: usize) -> NonZero<u16> {
    NonZero::new(u16::try_from(count).unwrap()).unwrap()
}

struct Writer {
    parser: Arc<Mutex<vt100::Parser>>,
    written: Arc<AtomicUsize>,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.fetch_add(1, Ordering::Relaxed);
        // A terminal driver turns a newline into carriage return and newline.
        let text = String::from_utf8(bytes.to_vec())
            .unwrap()
            .replace('\n', "\r\n");
        self.parser.lock().unwrap().process(text.as_bytes());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Screen {
    fn new(width: usize, height: usize) -> Self {
        let parser = vt100::Parser::new(cells(height), cells(width), 1000);
        Self {
            parser: Arc::new(Mutex::new(parser)),
            width: Arc::new(width.into()),
            height: Arc::new(height.into()),
            written: Arc::default(),
        }
    }

    fn tty(&self, looks: Looks) -> Tty<Writer> {
        let writer = Writer {
            parser: self.parser.clone(),
            written: self.written.clone(),
        };
        let (width, height) = (self.width.clone(), self.height.clone());
        let size = move || {
            let size = Size {
                width: width.load(Ordering::Relaxed),
                height: height.load(Ordering::Relaxed),
            };
            Some(size)
        };
        Tty::new(writer, false, Box::new(size), looks, local(0.0))
    }

    fn text(&self) -> String {
        let parser = self.parser.lock().unwrap();
        let lines: Vec<String> = parser
            .screen()
            .rows(0, self.width.load(Ordering::Relaxed) as u16)
            .collect();
        lines.join("\n").trim_end().to_owned()
    }

    /// Everything that scrolled away and what is on the screen.
    fn all(&self) -> String {
        let mut parser = self.parser.lock().unwrap();
        let (rows, cols) = parser.screen().size();
        let mut lines = Vec::new();
        parser.screen_mut().set_scrollback(usize::MAX);
        let depth = parser.screen().scrollback();
        for back in (1..=depth).rev() {
            parser.screen_mut().set_scrollback(back);
            lines.extend(parser.screen().rows(0, cols.get()).next());
        }
        parser.screen_mut().set_scrollback(0);
        lines.extend(parser.screen().rows(0, cols.get()).take(rows.get().into()));
        lines.join("\n").trim_end().to_owned()
    }
}

/// Plays messages up to a time and draws.
fn play(tty: &mut Tty<Writer>, messages: &[(f64, StatusResponse)], until: f64) -> State {
    let mut state = State::default();
    for (time, message) in messages.iter().filter(|(t, _)| *t <= until) {
        let events = state.apply(message, local(*time));
        tty.update(&state, message, &events, local(*time)).unwrap();
        tty.tick(&state, local(*time)).unwrap();
    }
    tty.tick(&state, local(until)).unwrap();
    state
}

#[test]
fn running_steps_with_their_logs_stand_under_the_finished_ones() {
    let screen = Screen::new(70, 20);
    play(&mut screen.tty(PLAIN), &failing_build(), 1.9);
    insta::assert_snapshot!(screen.text(), @r"
    ✓ [1/3] FROM docker.io/library/debian:12                      cached
    ✓ [internal] load build context                                 0.4s
    ⠏ [2/3] RUN apt-get install -y git                              1.4s
      │ Reading package lists...
      │ Building dependency tree...
    ⠏ [stage-1 2/2] RUN pip install nump                            1.2s
      │ Collecting nump
    building 1.9s · 2/4 steps · 1 cached
    ");
}

#[test]
fn at_the_end_only_finished_lines_remain() {
    let screen = Screen::new(70, 20);
    let mut tty = screen.tty(PLAIN);
    let mut state = play(&mut tty, &failing_build(), 3.0);
    let events = state.finish();
    tty.finish(&state, &events, local(3.0)).unwrap();
    insta::assert_snapshot!(screen.text(), @r"
    ✓ [1/3] FROM docker.io/library/debian:12                      cached
    ✓ [internal] load build context                                 0.4s
    ✗ [stage-1 2/2] RUN pip install nump                          failed
    – [2/3] RUN apt-get install -y git                          canceled
    ");
    assert!(screen.parser.lock().unwrap().screen().hide_cursor());
    drop(tty);
    assert!(!screen.parser.lock().unwrap().screen().hide_cursor());
}

#[test]
fn byte_counts_have_a_bar_and_short_digests() {
    let screen = Screen::new(80, 10);
    let layer = format!("extracting sha256:{}", "0123456789abcdef".repeat(4));
    let messages = [
        (0.0, vertices([started("a", "[1/2] FROM debian:12", 0.0)])),
        (
            1.0,
            tasks([
                task("a", &layer, 5_000_000, 20_000_000, 1.0),
                task("a", "copying", 512, 0, 1.0),
            ]),
        ),
    ];
    play(&mut screen.tty(PLAIN), &messages, 1.0);
    insta::assert_snapshot!(screen.text(), @r"
    ⠋ [1/2] FROM debian:12                                                    1.0s
      extracting sha256:0123456789ab ━━━━━─────────────── 5.00MB / 20.0MB
      copying 512B
    building 1.0s · 0/1 steps
    ");
}

#[test]
fn a_progress_bar_of_a_program_stays_one_line() {
    let screen = Screen::new(60, 10);
    let messages = [
        (0.0, vertices([started("a", "RUN pip install torch", 0.0)])),
        (
            1.0,
            logs([log("a", 1.0, "Downloading torch\n 10%\r 20%\r")]),
        ),
        (2.0, logs([log("a", 2.0, " 99%")])),
    ];
    play(&mut screen.tty(PLAIN), &messages, 2.0);
    insta::assert_snapshot!(screen.text(), @r"
    ⠋ RUN pip install torch                               2.0s
      │ Downloading torch
      │  99%
    building 2.0s · 0/1 steps
    ");
}

#[test]
fn wide_characters_never_pass_the_margin() {
    let name = "RUN echo 日本語のとても長い名前のステップです、折り返してはいけません";
    let messages = [
        (0.0, vertices([started("a", name, 0.0)])),
        (
            1.0,
            logs([log(
                "a",
                1.0,
                "進捗状況を表示しています。とても長い行なので切り取られます\n",
            )]),
        ),
    ];
    for width in 1..70 {
        let screen = Screen::new(width, 8);
        play(&mut screen.tty(PLAIN), &messages, 1.5);
        for _ in 0..3 {
            play(&mut screen.tty(PLAIN), &messages, 1.5);
        }
        for line in screen.text().lines() {
            assert!(
                console::measure_text_width(line) <= width,
                "{width}: {line:?}"
            );
        }
    }
    let screen = Screen::new(30, 8);
    play(&mut screen.tty(PLAIN), &messages, 1.5);
    insta::assert_snapshot!(screen.text(), @r"
    ⠴ RUN echo 日本語のと…  1.5s
      │ 進捗状況を表示していま…
    building 1.5s · 0/1 steps
    ");
}

#[test]
fn redrawing_leaves_nothing_behind() {
    for (width, height) in [(80, 24), (40, 6), (24, 3), (20, 2), (8, 4), (2, 2)] {
        let screen = Screen::new(width, height);
        let mut tty = screen.tty(PLAIN);
        let mut state = State::default();
        for (time, message) in failing_build() {
            let events = state.apply(&message, local(time));
            tty.update(&state, &message, &events, local(time)).unwrap();
            for _ in 0..5 {
                tty.tick(&state, local(time)).unwrap();
            }
        }
        let events = state.finish();
        tty.finish(&state, &events, local(3.0)).unwrap();
        let all = screen.all();
        assert!(!all.contains("building"), "{width}x{height}:\n{all}");
        assert_eq!(all.lines().count(), 4, "{width}x{height}:\n{all}");
    }
}

#[test]
fn more_steps_than_rows_are_counted() {
    let screen = Screen::new(50, 6);
    let many: Vec<_> = (0..10)
        .map(|i| started(&format!("d{i}"), &format!("RUN step {i}"), 0.0))
        .collect();
    play(&mut screen.tty(PLAIN), &[(0.0, vertices(many))], 4.0);
    insta::assert_snapshot!(screen.text(), @r"
    ⠋ RUN step 0                                4.0s
    ⠋ RUN step 1                                4.0s
    ⠋ RUN step 2                                4.0s
      and 7 more running
    building 4.0s · 0/10 steps
    ");
}

#[test]
fn a_terminal_may_be_resized_between_drawings() {
    let screen = Screen::new(80, 20);
    let mut tty = screen.tty(PLAIN);
    let state = play(&mut tty, &failing_build(), 1.9);
    for width in [100, 120, 90] {
        screen.width.store(width, Ordering::Relaxed);
        screen
            .parser
            .lock()
            .unwrap()
            .screen_mut()
            .set_size(cells(20), cells(width));
        tty.tick(&state, local(2.0)).unwrap();
    }
    assert_eq!(
        screen.text().matches("building").count(),
        1,
        "{}",
        screen.text()
    );
    assert_eq!(
        screen.text().matches("apt-get").count(),
        1,
        "{}",
        screen.text()
    );
}

#[test]
fn narrowing_counts_the_rows_that_the_terminal_wrapped() {
    assert_eq!(rows_above(&[], 80), 0);
    assert_eq!(rows_above(&[0], 80), 0);
    assert_eq!(rows_above(&[80, 40, 12], 80), 2);
    assert_eq!(rows_above(&[80, 40, 12], 40), 3);
    assert_eq!(rows_above(&[80, 40, 12], 10), 13);
}

#[test]
fn color_only_where_it_is_wanted_and_ascii_where_the_locale_has_no_more() {
    let messages = failing_build();
    let colored = Screen::new(70, 20);
    play(
        &mut colored.tty(Looks {
            color: true,
            unicode: true,
        }),
        &messages,
        1.9,
    );
    let formatted = colored.parser.lock().unwrap().screen().contents_formatted();
    assert!(formatted.contains("\x1b[32m"));

    let ascii = Screen::new(70, 20);
    play(
        &mut ascii.tty(Looks {
            color: false,
            unicode: false,
        }),
        &messages,
        1.9,
    );
    assert!(ascii.text().is_ascii(), "{}", ascii.text());
    let formatted = ascii.parser.lock().unwrap().screen().contents_formatted();
    assert!(!formatted.contains("\x1b[32m"));
}

#[test]
fn each_drawing_is_one_write() {
    let screen = Screen::new(70, 20);
    let mut tty = screen.tty(PLAIN);
    let state = play(&mut tty, &failing_build(), 1.9);
    let before = screen.written.load(Ordering::Relaxed);
    tty.tick(&state, local(2.0)).unwrap();
    assert_eq!(screen.written.load(Ordering::Relaxed), before + 1);
}
