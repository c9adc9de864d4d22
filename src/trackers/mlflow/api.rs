//! What the server says of runs: MLflow's REST API 2.0, in the questions that its client asks.

use std::collections::BTreeMap;

use reqwest::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::json;

use super::run::{IMAGE, MAX_RUNS, MlflowList, MlflowRun, Raw, TAGS};
use super::settings::Experiment;
use crate::trackers::server::{Question, Server};
use crate::trackers::{Tracker, TrackerError};

/// Most bytes of an answer: runs come with all their metrics.
const MAX_ANSWER: usize = 64 << 20;
/// Runs in one answer.
const PAGE: usize = 200;
/// Experiments in one answer, and most that are asked for.
const EXPERIMENTS: usize = 1000;
/// Most answers to one question, whatever they hold.
const MAX_PAGES: usize = 200;

/// The code of what isn't there.
const GONE: &str = "RESOURCE_DOES_NOT_EXIST";

#[derive(Deserialize)]
struct RunAnswer {
    run: Run,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    runs: Vec<Run>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct ExperimentAnswer {
    experiment: ExperimentNode,
}

#[derive(Deserialize)]
struct ExperimentsPage {
    #[serde(default)]
    experiments: Vec<ExperimentNode>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct ExperimentNode {
    experiment_id: String,
}

#[derive(Deserialize)]
struct Run {
    info: Info,
    #[serde(default)]
    data: Data,
}

#[derive(Deserialize)]
struct Info {
    run_id: String,
    #[serde(default)]
    experiment_id: String,
    #[serde(default)]
    status: String,
    #[serde(default, deserialize_with = "millis")]
    start_time: Option<i64>,
    #[serde(default, deserialize_with = "millis")]
    end_time: Option<i64>,
}

#[derive(Default, Deserialize)]
struct Data {
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    error_code: String,
    #[serde(default)]
    message: String,
}

/// A number, or one in quotes as JSON of protocol buffers has it.
fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Number(i64),
        Text(String),
    }
    match Option::<Form>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Form::Number(number)) => Ok(Some(number)),
        Some(Form::Text(text)) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

/// Asks for a run.
///
/// # Errors
/// Where the server can't be asked or doesn't have it.
pub(super) async fn run(server: &Server, id: &str) -> Result<MlflowRun, TrackerError> {
    let what = "the run";
    // By its older name, too, as the client asks.
    let question = Question::Get(&[("run_uuid", id), ("run_id", id)]);
    let answer: Option<RunAnswer> = ask(server, "runs/get", &question, what).await?;
    let answer = answer.ok_or_else(|| TrackerError::NoSuchRun {
        tracker: Tracker::Mlflow,
        server: server.name(),
        run: id.to_owned(),
    })?;
    if answer.run.info.run_id != id {
        return Err(server.wrong(what, "it is another one"));
    }
    let run = raw(answer.run).check(&server.name());
    run.map_err(|why| server.wrong(what, why))
}

/// Asks for the newest runs that are tagged.
///
/// # Errors
/// Where the server can't be asked or doesn't have the experiment.
pub(super) async fn list(
    server: &Server,
    experiment: Option<&Experiment>,
) -> Result<MlflowList, TrackerError> {
    let experiments = match experiment {
        Some(experiment) => vec![known(server, experiment).await?],
        None => experiments(server).await?,
    };
    let mut list = MlflowList::default();
    let mut token: Option<String> = None;
    for _ in 0..MAX_PAGES {
        let question = json!({
            "experiment_ids": experiments,
            "filter": format!("tags.`{IMAGE}` LIKE '%'"),
            "run_view_type": "ACTIVE_ONLY",
            "max_results": PAGE,
            "order_by": ["attributes.start_time DESC"],
            "page_token": token,
        });
        let what = "the list of runs";
        let page: Option<Page> =
            ask(server, "runs/search", &Question::Post(&question), what).await?;
        let page = page.ok_or_else(|| server.wrong(what, "it says that there is none"))?;
        for run in page.runs {
            if list.runs.len() + list.unreadable.len() == MAX_RUNS {
                list.is_cut = true;
                return Ok(list);
            }
            match raw(run).check(&server.name()) {
                Ok(run) => list.runs.push(run),
                Err(why) => list.unreadable.push(why),
            }
        }
        token = page.next_page_token.filter(|token| !token.is_empty());
        if token.is_none() {
            return Ok(list);
        }
    }
    list.is_cut = true;
    Ok(list)
}

/// The id of an experiment that is asked for.
async fn known(server: &Server, experiment: &Experiment) -> Result<String, TrackerError> {
    let (path, name, value) = match experiment {
        Experiment::Name(value) => ("experiments/get-by-name", "experiment_name", value),
        Experiment::Id(value) => ("experiments/get", "experiment_id", value),
    };
    let question = [(name, value.as_str())];
    let question = Question::Get(&question);
    let answer: Option<ExperimentAnswer> = ask(server, path, &question, "the experiment").await?;
    let answer = answer.ok_or_else(|| TrackerError::NoSuchExperiment {
        server: server.name(),
        experiment: value.clone(),
    })?;
    Ok(answer.experiment.experiment_id)
}

async fn experiments(server: &Server) -> Result<Vec<String>, TrackerError> {
    let what = "the list of experiments";
    let question = json!({ "max_results": EXPERIMENTS, "view_type": "ACTIVE_ONLY" });
    let page: Option<ExperimentsPage> = ask(
        server,
        "experiments/search",
        &Question::Post(&question),
        what,
    )
    .await?;
    let page = page.ok_or_else(|| server.wrong(what, "it says that there is none"))?;
    if page.next_page_token.is_some_and(|token| !token.is_empty()) {
        let why = format!("it has more than {EXPERIMENTS}: name one of them");
        return Err(server.wrong(what, why));
    }
    let ids = page.experiments.into_iter();
    Ok(ids.map(|experiment| experiment.experiment_id).collect())
}

/// An answer; `None` where the server says that it has no such thing.
async fn ask<T: DeserializeOwned>(
    server: &Server,
    path: &str,
    question: &Question<'_>,
    what: &str,
) -> Result<Option<T>, TrackerError> {
    let path = format!("api/2.0/mlflow/{path}");
    let (status, answer) = server.question(&path, question, MAX_ANSWER, what).await?;
    if status.is_success() {
        let answer = serde_json::from_value(answer);
        return answer.map(Some).map_err(|error| server.wrong(what, error));
    }
    let failure: Failure = serde_json::from_value(answer).unwrap_or(Failure {
        error_code: String::new(),
        message: String::new(),
    });
    if status == StatusCode::NOT_FOUND && failure.error_code == GONE {
        return Ok(None);
    }
    let why = format!("status {}: {}", status.as_u16(), failure.message);
    Err(server.wrong(what, why.trim_end_matches([' ', ':'])))
}

fn raw(run: Run) -> Raw {
    let tags = run.data.tags.into_iter();
    let tags = tags.filter(|tag| TAGS.contains(&tag.key.as_str()));
    Raw {
        id: run.info.run_id,
        experiment: run.info.experiment_id,
        status: run.info.status,
        started: run.info.start_time,
        ended: run.info.end_time,
        tags: tags
            .map(|tag| (tag.key, tag.value))
            .collect::<BTreeMap<_, _>>(),
    }
}
