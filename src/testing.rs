//! For tests of programs that use mlbuild as a library.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::reporter::{Event, Question, Reporter};

/// Keeps every event, in the order in which it came, and gives the answers that it was made with.
#[derive(Debug, Default)]
pub struct RecordingReporter {
    events: Mutex<Vec<Event>>,
    answers: Mutex<VecDeque<bool>>,
    questions: Mutex<Vec<Question>>,
}

impl RecordingReporter {
    /// A reporter that answers the questions to come with these, in turn, and then no more.
    pub fn answering(answers: impl IntoIterator<Item = bool>) -> Self {
        RecordingReporter {
            answers: Mutex::new(answers.into_iter().collect()),
            ..Self::default()
        }
    }

    /// What was told so far.
    pub fn events(&self) -> Vec<Event> {
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What was asked so far.
    pub fn questions(&self) -> Vec<Question> {
        self.questions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Reporter for RecordingReporter {
    fn event(&self, event: Event) {
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(event);
    }

    fn ask(&self, question: &Question) -> Option<bool> {
        self.questions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(question.clone());
        self.answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reporter::StepEvent;

    #[tokio::test]
    async fn keeps_the_steps_of_a_build_in_order() {
        let recording = RecordingReporter::default();
        let reporter: &dyn Reporter = &recording;
        let mut progress = reporter.begin_solve(Box::new(|name| Some(format!("{name}, titled"))));
        let steps = progress.local_steps();
        progress
            .during(async {
                let step = steps.begin("pushing");
                step.log("a line");
                step.done();
                steps.begin("locking").failed("no room");
            })
            .await;
        let trace = progress.finish().await;
        assert_eq!(trace.steps.len(), 2);
        let told: Vec<String> = recording.events().iter().map(short).collect();
        let expected = [
            "begins",
            "1 pushing, titled",
            "1 a line",
            "1 Done",
            "2 locking, titled",
            "2 Failed(\"no room\")",
            "2 steps, 0 cached",
        ];
        assert_eq!(told, expected);
    }

    fn short(event: &Event) -> String {
        match event {
            Event::SolveStarted => "begins".into(),
            Event::Step(StepEvent::Started { number, name }) => format!("{number} {name}"),
            Event::Step(StepEvent::Log { number, line, .. }) => format!("{number} {line}"),
            Event::Step(StepEvent::Finished {
                number, outcome, ..
            }) => format!("{number} {outcome:?}"),
            Event::SolveFinished { steps, cached } => format!("{steps} steps, {cached} cached"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn keeps_what_it_was_told_and_answers_in_turn() {
        let recording = RecordingReporter::answering([true]);
        let reporter: &dyn Reporter = &recording;
        reporter.note("one");
        reporter.warning("two");
        assert_eq!(reporter.ask(&Question::StartPrivateBuilder), Some(true));
        assert_eq!(reporter.ask(&Question::StartPrivateBuilder), None);
        let expected = [Event::Note("one".into()), Event::Warning("two".into())];
        assert_eq!(recording.events(), expected);
    }
}
