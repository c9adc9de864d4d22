//! Takes the secrets of a build out of what the builder says of it.
//!
//! Everything that a builder tells passes here before anything shows or keeps it: names of steps, their
//! lines, warnings, errors. What is known as secret is what the build was given as one: `--secret`,
//! build arguments with the name or the form of one, passwords in the addresses of proxies, indexes and
//! contexts, and the log-ins that the session handed out on the way.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use mlbuild_buildkit::{BuildFailure, GivenLogIns, SolveError, StatusResponse, VertexLog};
use mlbuild_secrets::{KnownSecrets, StreamRedactor, is_secret, passwords_of_addresses};

use crate::host::HostSettings;
use crate::plan::{BuildPlan, Context, SecretSource};

/// Most of a secret file that is read, in bytes: builders take no larger ones.
const MAX_SECRET: u64 = 500 << 10;

/// What is known, and how many log-ins had been given by then.
type Known = (usize, Arc<KnownSecrets>);

/// What is secret in one build.
#[derive(Clone, Debug, Default)]
pub struct Redaction {
    /// What was known when it began.
    first: Arc<Vec<Vec<u8>>>,
    /// The log-ins that the builder was given since.
    pub(super) given: GivenLogIns,
    /// All of them, for as many log-ins as there were.
    known: Arc<Mutex<Option<Known>>>,
}

impl Redaction {
    /// That of a plan, with what the host's settings hold.
    pub(super) fn of(plan: &BuildPlan, host: &HostSettings) -> Self {
        let mut first = Vec::new();
        let add_addresses = |text: &str, first: &mut Vec<Vec<u8>>| {
            first.extend(
                passwords_of_addresses(text)
                    .into_iter()
                    .map(String::into_bytes),
            );
        };
        for (name, value) in &plan.build_args {
            if is_secret(name, value) {
                first.push(value.clone().into_bytes());
            }
            add_addresses(value, &mut first);
        }
        for source in plan.secrets.values() {
            first.extend(content(source));
        }
        for hidden in host.proxies.values().chain(host.files.values()) {
            add_addresses(&String::from_utf8_lossy(&hidden.0), &mut first);
        }
        for context in plan.named_contexts.values().chain([&plan.context]) {
            if let Context::Remote { url } = context {
                add_addresses(url, &mut first);
            }
        }
        Self {
            first: Arc::new(first),
            ..Self::default()
        }
    }

    /// What is known by now.
    fn known(&self) -> Arc<KnownSecrets> {
        let given = self.given.values();
        let mut kept = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((count, known)) = &*kept
            && *count == given.len()
        {
            return known.clone();
        }
        let first = self.first.iter().map(Vec::as_slice);
        let given_values = given.iter().map(|secret| secret.expose().as_bytes());
        let known = Arc::new(KnownSecrets::new(first.chain(given_values)));
        *kept = Some((given.len(), known.clone()));
        known
    }

    /// A failure of the builder without them.
    pub(super) fn of_error(&self, error: SolveError) -> SolveError {
        let known = self.known();
        let text = |text: String| known.redact(&text).into_owned();
        match error {
            SolveError::Build(failure) => SolveError::Build(BuildFailure {
                message: text(failure.message),
                sources: failure
                    .sources
                    .into_iter()
                    .map(|mut source| {
                        source.content = known.redact_bytes(&source.content).into_owned();
                        source
                    })
                    .collect(),
                ..failure
            }),
            SolveError::Lost { endpoint, reason } => SolveError::Lost {
                endpoint,
                reason: text(reason),
            },
            SolveError::Answer(why) => SolveError::Answer(text(why)),
            other => other,
        }
    }
}

/// The value of a secret, as the session would serve it.
fn content(source: &SecretSource) -> Option<Vec<u8>> {
    use std::io::Read as _;
    match source {
        SecretSource::File(path) => {
            // A pipe would wait, and what is read from it would be gone for the builder.
            let is_file = path.metadata().is_ok_and(|found| found.is_file());
            let file = std::fs::File::open(path).ok().filter(|_| is_file)?;
            let mut content = Vec::new();
            file.take(MAX_SECRET).read_to_end(&mut content).ok()?;
            Some(content)
        }
        SecretSource::Env(name) => {
            use std::os::unix::ffi::OsStringExt as _;
            std::env::var_os(name).map(|value| value.into_vec())
        }
        // Their passwords stand in addresses.
        SecretSource::Host(_) => None,
    }
}

/// Takes secrets out of a builder's messages, one after the other.
pub(super) struct MessageRedactor {
    redaction: Redaction,
    /// By step and stream, with the last message of each.
    streams: HashMap<(String, i64), (StreamRedactor, VertexLog)>,
}

impl MessageRedactor {
    pub(super) fn new(redaction: Redaction) -> Self {
        Self {
            redaction,
            streams: HashMap::new(),
        }
    }

    /// A message without them. What a step has written may be held back until its next message or
    /// its end.
    pub(super) fn message(&mut self, mut message: StatusResponse) -> StatusResponse {
        let known = self.redaction.known();
        if known.is_empty() && self.streams.is_empty() {
            return message;
        }
        let text = |text: &mut String| {
            if let std::borrow::Cow::Owned(redacted) = known.redact(text) {
                *text = redacted;
            }
        };
        let bytes = |bytes: &[u8]| known.redact_bytes(bytes).into_owned();
        for log in &mut message.logs {
            let key = (log.vertex.clone(), log.stream);
            let (stream, last) = self.streams.entry(key).or_default();
            log.msg = stream.push(&log.msg, &known).into();
            last.clone_from(log);
        }
        for vertex in &mut message.vertexes {
            text(&mut vertex.name);
            text(&mut vertex.error);
        }
        for status in &mut message.statuses {
            text(&mut status.id);
            text(&mut status.name);
        }
        for warning in &mut message.warnings {
            warning.short = bytes(&warning.short).into();
            for detail in &mut warning.detail {
                *detail = bytes(detail).into();
            }
            text(&mut warning.url);
            if let Some(info) = &mut warning.info {
                info.data = bytes(&info.data).into();
            }
        }
        let ended: Vec<String> = message
            .vertexes
            .iter()
            .filter(|vertex| vertex.completed.is_some())
            .map(|vertex| vertex.digest.clone())
            .collect();
        message
            .logs
            .extend(self.flush(&known, |step| ended.contains(step)));
        message.logs.retain(|log| !log.msg.is_empty());
        message
    }

    /// What is held back of all steps, at the end.
    pub(super) fn finish(&mut self) -> Option<StatusResponse> {
        let known = self.redaction.known();
        let mut logs = self.flush(&known, |_| true);
        logs.retain(|log| !log.msg.is_empty());
        (!logs.is_empty()).then(|| StatusResponse {
            logs,
            ..StatusResponse::default()
        })
    }

    fn flush(&mut self, known: &KnownSecrets, of: impl Fn(&String) -> bool) -> Vec<VertexLog> {
        let mut logs = BTreeMap::new();
        for (key, (stream, last)) in &mut self.streams {
            if of(&key.0) {
                let msg = stream.finish(known).into();
                logs.insert(
                    key.clone(),
                    VertexLog {
                        msg,
                        ..last.clone()
                    },
                );
            }
        }
        self.streams.retain(|key, _| !of(&key.0));
        logs.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use mlbuild_buildkit::VertexWarning;
    use proptest::prelude::*;

    use super::*;

    fn redaction(secrets: &[String]) -> Redaction {
        Redaction {
            first: Arc::new(
                secrets
                    .iter()
                    .map(|secret| secret.clone().into_bytes())
                    .collect(),
            ),
            ..Redaction::default()
        }
    }

    fn log(step: &str, stream: i64, msg: &[u8]) -> VertexLog {
        VertexLog {
            vertex: step.to_owned(),
            stream,
            msg: msg.to_vec().into(),
            ..VertexLog::default()
        }
    }

    /// What each stream of each step says in all messages.
    fn said(messages: &[StatusResponse]) -> BTreeMap<(String, i64), String> {
        let mut said: BTreeMap<(String, i64), String> = BTreeMap::new();
        for log in messages.iter().flat_map(|message| &message.logs) {
            let text = said.entry((log.vertex.clone(), log.stream)).or_default();
            *text += &String::from_utf8_lossy(&log.msg);
        }
        said
    }

    #[test]
    fn what_a_step_has_written_is_shown_when_it_ends() {
        let mut redactor = MessageRedactor::new(redaction(&["hunter2hunter2".to_owned()]));
        let mut message = StatusResponse {
            logs: vec![log("a", 1, b"password: hunter2"), log("b", 1, b"plain\n")],
            ..StatusResponse::default()
        };
        let first = redactor.message(message.clone());
        assert_eq!(first.logs[0].msg, "password: ");
        message.logs = vec![log("a", 2, b"x")];
        message.vertexes.push(Default::default());
        message.vertexes[0].digest = "a".to_owned();
        message.vertexes[0].completed = Some(Default::default());
        message.vertexes[0].error = "exit: hunter2hunter2".to_owned();
        let second = redactor.message(message);
        assert_eq!(second.vertexes[0].error, "exit: <redacted>");
        let said = said(&[first, second]);
        assert_eq!(said[&("a".to_owned(), 1)], "password: hunter2");
        assert_eq!(said[&("b".to_owned(), 1)], "plain\n");
        assert!(redactor.finish().is_none());
    }

    #[test]
    fn log_ins_that_were_given_meanwhile_are_known() {
        let redaction = redaction(&[]);
        let mut redactor = MessageRedactor::new(redaction.clone());
        let mut say = |text: &str| {
            let logs = vec![log("a", 1, text.as_bytes())];
            let message = redactor.message(StatusResponse {
                logs,
                ..StatusResponse::default()
            });
            said(&[message]).into_values().collect::<String>()
        };
        assert_eq!(say("registry-pass\n"), "registry-pass\n");
        redaction.given.add("registry-pass");
        assert_eq!(say("registry-pass\n"), "<redacted>\n");
        let failure = SolveError::Build(BuildFailure {
            message: "401 for registry-pass".to_owned(),
            ..BuildFailure::default()
        });
        assert_eq!(
            redaction.of_error(failure).to_string(),
            "401 for <redacted>"
        );
    }

    proptest! {
        /// Planted secrets, in the steps' lines cut anywhere and mixed with each other, in names and
        /// in warnings.
        #[test]
        fn no_message_lets_a_planted_secret_through(
            secrets in prop::collection::vec("[a-z0-9]{12}|[A-Z]{9}\n[a-z]{12}", 1..3),
            lines in prop::collection::vec("[a-z \n]{0,12}", 6),
            cuts in prop::collection::vec((1_usize..20, 1_i64..3, prop::bool::ANY), 1..60),
        ) {
            let mut redactor = MessageRedactor::new(redaction(&secrets));
            let mut texts: BTreeMap<(&str, i64), String> = BTreeMap::new();
            for step in ["a", "b"] {
                for stream in [1, 2] {
                    let mut text = String::new();
                    for (at, line) in lines.iter().enumerate() {
                        text += line;
                        text += &secrets[at % secrets.len()];
                    }
                    texts.insert((step, stream), text);
                }
            }
            let mut messages = Vec::new();
            for (length, stream, is_a) in cuts {
                let step = if is_a { "a" } else { "b" };
                let text = texts.get_mut(&(step, stream)).unwrap();
                let piece: String = text.drain(..length.min(text.len())).collect();
                messages.push(redactor.message(StatusResponse {
                    logs: vec![log(step, stream, piece.as_bytes())],
                    warnings: vec![VertexWarning {
                        short: secrets[0].clone().into_bytes().into(),
                        ..VertexWarning::default()
                    }],
                    ..StatusResponse::default()
                }));
            }
            messages.extend(redactor.finish());
            let shown = format!("{:?} {messages:?}", said(&messages));
            for secret in &secrets {
                for line in secret.lines() {
                    prop_assert!(!shown.contains(line), "{line} in {shown}");
                }
            }
        }
    }
}
