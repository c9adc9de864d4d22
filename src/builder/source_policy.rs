//! BuildKit's source policy file: JSON as buildx reads it.

use mlbuild_buildkit::sourcepolicy::{
    AttrConstraint, AttrMatch, MatchType, Policy, PolicyAction, Rule, Selector, Update,
};
use serde::Deserialize;
use serde_json::Value;

use super::BuilderError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    #[serde(default)]
    version: i64,
    #[serde(default)]
    rules: Vec<RuleFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    action: Action,
    selector: SelectorFile,
    #[serde(default)]
    updates: Option<UpdateFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Action {
    Allow,
    Deny,
    Convert,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SelectorFile {
    identifier: String,
    #[serde(default, alias = "matchType")]
    match_type: Match,
    #[serde(default)]
    constraints: Vec<ConstraintFile>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "UPPERCASE")]
enum Match {
    #[default]
    Wildcard,
    Exact,
    Regex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConstraintFile {
    key: String,
    value: String,
    #[serde(default)]
    condition: Condition,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "UPPERCASE")]
enum Condition {
    #[default]
    Equal,
    NotEqual,
    Matches,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateFile {
    #[serde(default)]
    identifier: String,
    #[serde(default)]
    attrs: std::collections::BTreeMap<String, String>,
}

/// The policy in a file's JSON.
///
/// # Errors
/// Where the document isn't one; the key at fault is named.
pub(super) fn read(document: &Value) -> Result<Policy, BuilderError> {
    let file = PolicyFile::deserialize(document).map_err(BuilderError::SourcePolicy)?;
    Ok(Policy {
        version: file.version,
        rules: file.rules.into_iter().map(rule).collect(),
    })
}

fn rule(rule: RuleFile) -> Rule {
    let action = match rule.action {
        Action::Allow => PolicyAction::Allow,
        Action::Deny => PolicyAction::Deny,
        Action::Convert => PolicyAction::Convert,
    };
    let match_type = match rule.selector.match_type {
        Match::Wildcard => MatchType::Wildcard,
        Match::Exact => MatchType::Exact,
        Match::Regex => MatchType::Regex,
    };
    let constraints = rule
        .selector
        .constraints
        .into_iter()
        .map(|constraint| AttrConstraint {
            key: constraint.key,
            value: constraint.value,
            condition: match constraint.condition {
                Condition::Equal => AttrMatch::Equal,
                Condition::NotEqual => AttrMatch::Notequal,
                Condition::Matches => AttrMatch::Matches,
            } as i32,
        });
    Rule {
        action: action as i32,
        selector: Some(Selector {
            identifier: rule.selector.identifier,
            match_type: match_type as i32,
            constraints: constraints.collect(),
        }),
        updates: rule.updates.map(|update| Update {
            identifier: update.identifier,
            attrs: update.attrs,
        }),
    }
}
