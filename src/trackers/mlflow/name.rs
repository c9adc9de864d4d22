//! Names of runs: `mlflow:RUN_ID`, or the address of a run's page.

use url::Url;

use crate::trackers::{Tracker, TrackerError};

/// What stands before a run's id.
const PREFIX: &str = "mlflow:";
/// What a page's fragment begins with.
const PAGE: &str = "/experiments/";
/// Most characters of an id.
const MAX_ID: usize = 256;

/// A run's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MlflowName {
    /// The address of the page that shows the run.
    pub page: Option<Url>,
    /// The run's id.
    pub id: String,
}

impl MlflowName {
    /// True for what can only name a run of MLflow's, if it names any.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(PREFIX) || page(text).is_some()
    }

    /// Reads `mlflow:RUN_ID`, or the address of a run's page: `https://HOST/#/experiments/…/runs/RUN_ID`.
    ///
    /// # Errors
    /// Where it is neither.
    pub fn parse(text: &str) -> Result<Self, TrackerError> {
        let wrong = |why: &str| TrackerError::Name {
            text: text.to_owned(),
            tracker: Tracker::Mlflow,
            why: why.to_owned(),
        };
        let found = match page(text) {
            Some(page) => Self {
                id: id_of_page(&page).ok_or_else(|| {
                    wrong("the page of a run is at https://HOST/#/experiments/EXPERIMENT/runs/RUN")
                })?,
                page: Some(page),
            },
            None => Self {
                page: None,
                id: text.strip_prefix(PREFIX).unwrap_or(text).to_owned(),
            },
        };
        if is_id(&found.id) {
            Ok(found)
        } else {
            Err(wrong("mlflow:RUN_ID is one"))
        }
    }
}

/// As MLflow checks ids: letters, digits, `_` and `-`, the first none of the last two.
pub(super) fn is_id(id: &str) -> bool {
    let is_in_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.len() <= MAX_ID
        && id.chars().all(is_in_word)
}

fn page(text: &str) -> Option<Url> {
    let text = text.strip_prefix(PREFIX).unwrap_or(text);
    let page = Url::parse(text).ok()?;
    let is_one = matches!(page.scheme(), "http" | "https")
        && page.fragment().is_some_and(|f| f.starts_with(PAGE));
    is_one.then_some(page)
}

fn id_of_page(page: &Url) -> Option<String> {
    let fragment = page.fragment()?.split('?').next()?;
    let mut parts = fragment.split('/').skip_while(|&part| part != "runs");
    parts.nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::MlflowName;

    #[test]
    fn names_are_ids_and_addresses_of_pages() {
        let id = "0123456789abcdef0123456789abcdef";
        let long = format!("mlflow:{}", "a".repeat(257));
        for (text, expected) in [
            (format!("mlflow:{id}"), id),
            (
                format!("http://127.0.0.1:5000/#/experiments/1/runs/{id}"),
                id,
            ),
            (
                format!("https://m.example/x/#/experiments/1/runs/{id}/model-metrics?a=b"),
                id,
            ),
            (
                format!("mlflow:https://m.example/#/experiments/1/runs/{id}"),
                id,
            ),
            ("https://m.example/#/experiments/1".to_owned(), "refused"),
            ("mlflow:".to_owned(), "refused"),
            ("mlflow:-x".to_owned(), "refused"),
            ("mlflow:../x".to_owned(), "refused"),
            ("mlflow:a b".to_owned(), "refused"),
            (long, "refused"),
        ] {
            assert!(MlflowName::is_meant(&text), "{text}");
            let read = MlflowName::parse(&text).map(|name| name.id);
            assert_eq!(read.as_deref().unwrap_or("refused"), expected, "{text}");
        }
        assert!(!MlflowName::is_meant("https://wandb.ai/acme/cracks/runs/1"));
    }
}
