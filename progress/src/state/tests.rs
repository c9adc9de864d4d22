//! What the fold makes of streams in and out of order.

use super::{super::testing::*, *};

#[test]
fn a_build_becomes_steps_in_order_of_appearance() {
    let (state, _) = fold(failing_build().into_iter().map(|(_, m)| m));
    let told: Vec<_> = state
        .steps()
        .iter()
        .map(|s| (s.number, s.name.as_str(), s.status()))
        .collect();
    insta::assert_debug_snapshot!(told, @r#"
    [
        (
            2,
            "[1/3] FROM docker.io/library/debian:12",
            Cached,
        ),
        (
            1,
            "[internal] load build context",
            Done,
        ),
        (
            3,
            "[2/3] RUN apt-get install -y git",
            Canceled,
        ),
        (
            4,
            "[stage-1 2/2] RUN pip install nump",
            Failed(
                "process \"/bin/sh -c pip install nump\" did not complete successfully: exit code: 1",
            ),
        ),
    ]
    "#);
}

#[test]
fn a_log_may_come_before_its_vertex() {
    let (state, _) = fold([
        logs([log("a", 1.0, "early\n")]),
        vertices([started("a", "RUN a", 0.5)]),
    ]);
    assert_eq!(state.steps().len(), 1);
    assert_eq!(state.steps()[0].log.lines().next().unwrap().text, "early");
    assert!(state.steps()[0].is_shown());
}

#[test]
fn a_vertex_without_a_name_is_not_shown() {
    let (state, _) = fold([logs([log("a", 1.0, "early\n")])]);
    assert!(!state.steps()[0].is_shown());
}

#[test]
fn a_late_start_does_not_reopen_what_ended() {
    let (state, _) = fold([
        vertices([done("a", "a", 1.0, 3.0)]),
        vertices([started("a", "a", 1.0)]),
    ]);
    assert_eq!(state.steps()[0].status(), StepStatus::Done);
}

#[test]
fn several_runs_of_one_vertex_count_overlaps_once() {
    let (mut state, _) = fold([vertices([
        done("a", "a", 1.0, 3.0),
        done("a", "a", 2.0, 4.0),
        started("a", "a", 10.0),
    ])]);
    assert_eq!(state.steps()[0].status(), StepStatus::Running);
    assert_eq!(
        state.steps()[0].elapsed(local(10.5)),
        Duration::from_millis(3500)
    );
    state.apply(&vertices([done("a", "a", 10.0, 11.0)]), local(11.0));
    assert_eq!(state.steps()[0].status(), StepStatus::Done);
    assert_eq!(
        state.steps()[0].elapsed(local(99.0)),
        Duration::from_secs(4)
    );
}

#[test]
fn a_cached_vertex_that_then_has_to_run_is_done_not_cached() {
    let (state, _) = fold([
        vertices([cached("a", "a", 1.0)]),
        vertices([done("a", "a", 1.5, 2.0)]),
    ]);
    assert_eq!(state.steps()[0].status(), StepStatus::Done);
}

#[test]
fn a_group_is_one_step() {
    let copy = |d: &str, s, e| grouped(done(d, "copy", s, e), "g", "COPY a b /", false);
    let (state, _) = fold([
        logs([log("two", 1.1, "early\n")]),
        vertices([copy("one", 1.0, 2.0)]),
        vertices([grouped(
            started("two", "copy", 1.5),
            "g",
            "COPY a b /",
            false,
        )]),
    ]);
    let shown: Vec<_> = state.steps().iter().filter(|s| s.is_shown()).collect();
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].name, "COPY a b /");
    assert_eq!(shown[0].status(), StepStatus::Running);
    assert_eq!(shown[0].elapsed(local(3.0)), Duration::from_secs(2));
    assert_eq!(shown[0].log.lines().len(), 1);
    assert_eq!(shown[0].vertices().collect::<Vec<_>>(), ["one", "two"]);
}

#[test]
fn a_weak_group_is_shown_only_when_it_fails() {
    let weak = |v| grouped(v, "g", "for machines", true);
    let (mut state, _) = fold([vertices([weak(started("a", "a", 1.0))])]);
    assert!(!state.steps()[0].is_shown());
    state.apply(
        &vertices([weak(failed("a", "a", 1.0, 2.0, "no"))]),
        local(2.0),
    );
    assert!(state.steps()[0].is_shown());
}

#[test]
fn a_cancelled_dependent_does_not_hide_the_failure() {
    let (state, _) = fold([vertices([
        grouped(
            failed("a", "a", 1.0, 2.0, "context canceled"),
            "g",
            "g",
            false,
        ),
        grouped(failed("b", "b", 1.0, 2.0, "exit code: 1"), "g", "g", false),
    ])]);
    assert_eq!(
        state.steps()[0].status(),
        StepStatus::Failed("exit code: 1".into())
    );
}

#[test]
fn a_late_count_does_not_go_backwards() {
    let (mut state, _) = fold([
        tasks([task("a", "t", 50, 100, 2.0)]),
        tasks([task("a", "t", 10, 100, 1.0)]),
    ]);
    assert_eq!(state.steps()[0].tasks[0].current, 50);
    state.apply(&tasks([task_done("a", "t", 100, 3.0)]), local(3.0));
    assert!(
        state
            .apply(&tasks([task("a", "t", 99, 100, 3.0)]), local(3.0))
            .is_empty()
    );
    assert_eq!(state.steps()[0].tasks[0].current, 100);
}

#[test]
fn the_last_words_come_before_the_end() {
    let (_, events) = fold([StatusResponse {
        vertexes: vec![done("a", "a", 1.0, 2.0)],
        logs: vec![log("a", 1.5, "no newline")],
        ..Default::default()
    }]);
    assert!(
        matches!(&events[0], Event::Log(0, line) if line.text == "no newline"),
        "{events:?}"
    );
    assert_eq!(events[1], Event::Step(0));
}

#[test]
fn the_same_warning_for_two_platforms_is_one() {
    let (state, _) = fold([
        warnings([lint("a", "JSONArgs", 3)]),
        warnings([lint("b", "JSONArgs", 3)]),
    ]);
    assert_eq!(state.warnings().len(), 1);
    insta::assert_snapshot!(state.warnings()[0], @r"
    Dockerfile:3: JSONArgs
         3 | CMD sleep 1
      JSON arguments recommended
      https://docs.docker.com/go/dockerfile/rule/json-args/
    ");
}

#[test]
fn elapsed_time_does_not_depend_on_the_clocks_agreeing() {
    let mut state = State::default();
    let hour = 3600.0;
    state.apply(&vertices([started("a", "a", 1.0)]), local(1.0 + hour));
    let now = state.daemon_time(local(3.5 + hour));
    assert_eq!(state.steps()[0].elapsed(now), Duration::from_millis(2500));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]
    /// Whatever order the messages come in, the steps end the same.
    #[test]
    fn order_does_not_change_the_outcome(seed in proptest::collection::vec(0u32..1000, 11)) {
        let mut messages: Vec<_> = failing_build().into_iter().map(|(_, m)| m).zip(seed).collect();
        messages.sort_by_key(|(_, k)| *k);
        let (state, _) = fold(messages.into_iter().map(|(m, _)| m));
        let mut ends: Vec<_> = state.steps().iter().map(|s| (s.digest.clone(), s.status(), s.elapsed(0))).collect();
        ends.sort_by(|a, b| a.0.cmp(&b.0));
        let (expected, _) = fold(failing_build().into_iter().map(|(_, m)| m));
        let mut expected: Vec<_> = expected.steps().iter().map(|s| (s.digest.clone(), s.status(), s.elapsed(0))).collect();
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        proptest::prop_assert_eq!(ends, expected);
    }
}
