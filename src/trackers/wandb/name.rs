//! Names of runs, as `wandb restore` and `wandb.Api().run` take them.

use percent_encoding::percent_decode_str;
use url::Url;

use crate::trackers::{Tracker, TrackerError};

/// What stands before a name that could be another tracker's.
const PREFIX: &str = "wandb:";
/// Before the names of another tracker's runs.
const MLFLOW: &str = "mlflow:";

/// A run's name. What it leaves out, variables and files of settings say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WandbName {
    /// The address of the page that shows the run.
    pub page: Option<Url>,
    /// The user or team.
    pub entity: Option<String>,
    /// The project.
    pub project: Option<String>,
    /// The run's id.
    pub id: String,
}

impl WandbName {
    /// Reads `entity/project:id`, `entity/project/id`, `entity/project/runs/id`, the same with `wandb:`
    /// before it and parts left out, or the address of a run's page.
    ///
    /// # Errors
    /// Where it is none of these.
    pub fn parse(text: &str) -> Result<Self, TrackerError> {
        let wrong = |why: &str| TrackerError::Name {
            text: text.to_owned(),
            tracker: Tracker::Wandb,
            why: why.to_owned(),
        };
        if text.starts_with(MLFLOW) {
            return Err(wrong("it is one of MLflow"));
        }
        let name = text.strip_prefix(PREFIX).unwrap_or(text);
        let found = if name.starts_with("https://") || name.starts_with("http://") {
            let page = Url::parse(name).map_err(|error| wrong(&error.to_string()))?;
            of_page(&page).ok_or_else(|| {
                wrong("the page of a run is at https://HOST/ENTITY/PROJECT/runs/RUN")
            })?
        } else {
            of_path(name)
        };
        let parts = [found.entity.as_deref(), found.project.as_deref()];
        if found.id.is_empty() || parts.contains(&Some("")) || found.id.contains(['/', ':']) {
            return Err(wrong("ENTITY/PROJECT:RUN is one"));
        }
        Ok(found)
    }
}

/// `…/ENTITY/PROJECT/runs/RUN/…`: a server's pages may lie below a folder, and a run has several.
fn of_page(page: &Url) -> Option<WandbName> {
    let parts: Vec<String> = page
        .path_segments()?
        .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
        .collect();
    let at = (2..parts.len()).find(|&at| parts[at] == "runs")?;
    Some(WandbName {
        page: Some(page.clone()),
        entity: Some(parts[at - 2].clone()),
        project: Some(parts[at - 1].clone()),
        id: parts.get(at + 1)?.clone(),
    })
}

fn of_path(name: &str) -> WandbName {
    let name = name.replace("/runs/", "/");
    let name = name.trim_matches('/');
    let (rest, id) = match (name.split_once(':'), name.rsplit_once('/')) {
        (Some((rest, id)), _) | (None, Some((rest, id))) => (Some(rest), id),
        (None, None) => (None, name),
    };
    let (entity, project) = match rest.and_then(|rest| rest.split_once('/')) {
        Some((entity, project)) => (Some(entity), Some(project)),
        None => (None, rest),
    };
    let owned = |part: Option<&str>| part.map(str::to_owned);
    WandbName {
        page: None,
        entity: owned(entity),
        project: owned(project),
        // What has too many parts keeps a slash, and is refused.
        id: match project {
            Some(project) if project.contains('/') => format!("{project}/{id}"),
            _ => id.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::WandbName;

    /// `ENTITY PROJECT ID`, `-` for what is left out.
    fn read(text: &str) -> String {
        match WandbName::parse(text) {
            Err(_) => "refused".to_owned(),
            Ok(name) => {
                let part = |part: Option<String>| part.unwrap_or_else(|| "-".to_owned());
                format!("{} {} {}", part(name.entity), part(name.project), name.id)
            }
        }
    }

    #[test]
    fn names_are_those_of_the_client() {
        for (text, expected) in [
            ("acme/cracks:1abc2def", "acme cracks 1abc2def"),
            ("acme/cracks/1abc2def", "acme cracks 1abc2def"),
            ("/acme/cracks/runs/1abc2def/", "acme cracks 1abc2def"),
            ("wandb:acme/cracks/1abc2def", "acme cracks 1abc2def"),
            ("wandb:acme/cracks:1abc2def", "acme cracks 1abc2def"),
            ("cracks/1abc2def", "- cracks 1abc2def"),
            ("cracks:1abc2def", "- cracks 1abc2def"),
            ("wandb:1abc2def", "- - 1abc2def"),
            (
                "https://wandb.ai/acme/cracks/runs/1abc2def",
                "acme cracks 1abc2def",
            ),
            (
                "https://forge.coreweave.com/wandb/acme/my%20cracks/runs/1abc2def/overview?nw=x",
                "acme my cracks 1abc2def",
            ),
            (
                "http://10.0.0.1:8080/acme/runs/runs/1abc2def",
                "acme runs 1abc2def",
            ),
            ("https://wandb.ai/acme/cracks", "refused"),
            ("https://wandb.ai/acme/cracks/runs/", "refused"),
            ("acme/cracks:", "refused"),
            ("a/b/c/d", "refused"),
            ("a/b:c:d", "refused"),
            ("a/b:c/d", "refused"),
            ("/", "refused"),
            ("wandb:", "refused"),
            ("mlflow:0123456789abcdef0123456789abcdef", "refused"),
            ("//x", "- - x"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
