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
