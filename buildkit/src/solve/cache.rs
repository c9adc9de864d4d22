//! Caches in folders: the builder reads and writes them through the session,
//! so this end finds and files their index entries.

use std::path::PathBuf;

use mlbuild_proto::moby::buildkit::v1::CacheOptionsEntry;

use super::CacheOption;
use super::oci_index::{Updates, find};
use crate::error::SolveError;
use crate::session::Session;

/// The tag in a cache folder's index unless another is asked for.
const DEFAULT_TAG: &str = "latest";

/// A folder that holds no cache yet is left out: that is every first build.
pub(super) fn imports(
    options: &[CacheOption],
    session: &mut Session,
) -> Result<Vec<CacheOptionsEntry>, SolveError> {
    let mut entries = Vec::new();
    for option in options {
        let mut attrs = option.attrs.clone();
        match option.kind.as_str() {
            "local" => {
                let src = required(option, "src")?;
                if !attrs.contains_key("digest") {
                    let tag = attrs.get("tag").map_or(DEFAULT_TAG, String::as_str);
                    let Some(digest) = find(src.as_ref(), tag)? else {
                        continue;
                    };
                    attrs.insert("digest".into(), digest);
                }
                session.stores_mut().add(format!("local:{src}"), src.into());
            }
            "registry" => drop(required(option, "ref")?),
            _ => {}
        }
        entries.push(CacheOptionsEntry {
            r#type: option.kind.clone(),
            attrs,
        });
    }
    Ok(entries)
}

pub(super) fn exports(
    options: &[CacheOption],
    session: &mut Session,
    after: &mut Updates,
) -> Result<Vec<CacheOptionsEntry>, SolveError> {
    let mut entries = Vec::new();
    for option in options {
        match option.kind.as_str() {
            "local" => {
                let dest = required(option, "dest")?;
                let folder = PathBuf::from(&dest);
                std::fs::create_dir_all(&folder).map_err(|source| SolveError::Output {
                    path: folder.clone(),
                    source,
                })?;
                let tag = option.attrs.get("tag").map_or(DEFAULT_TAG, String::as_str);
                after.cache(folder.clone(), tag.to_string());
                session.stores_mut().add(format!("local:{dest}"), folder);
            }
            "registry" => drop(required(option, "ref")?),
            _ => {}
        }
        entries.push(CacheOptionsEntry {
            r#type: option.kind.clone(),
            attrs: option.attrs.clone(),
        });
    }
    Ok(entries)
}

fn required(option: &CacheOption, key: &str) -> Result<String, SolveError> {
    match option.attrs.get(key) {
        Some(value) if !value.is_empty() => Ok(value.clone()),
        _ => Err(SolveError::Options(format!(
            "a `{}` cache needs `{key}=…`",
            option.kind
        ))),
    }
}

/// Frontends take the imports as JSON, too.
pub(super) fn to_json(entries: &[CacheOptionsEntry]) -> String {
    let entries: Vec<_> = entries
        .iter()
        .map(|e| serde_json::json!({"Type": e.r#type, "Attrs": e.attrs}))
        .collect();
    serde_json::Value::from(entries).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(kind: &str, attrs: &[(&str, &str)]) -> CacheOption {
        CacheOption {
            kind: kind.into(),
            attrs: attrs
                .iter()
                .map(|(k, v)| (k.to_string(), v.to_string()))
                .collect(),
        }
    }

    #[test]
    fn a_folder_without_a_cache_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let src = dir.path().to_str().unwrap();
        let mut session = Session::builder().build().unwrap();
        let options = [
            option("local", &[("src", src)]),
            option("registry", &[("ref", "r.example/c")]),
        ];
        let entries = imports(&options, &mut session).unwrap();
        assert_eq!(
            to_json(&entries),
            r#"[{"Attrs":{"ref":"r.example/c"},"Type":"registry"}]"#
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut session = Session::builder().build().unwrap();
        let error = imports(&[option("registry", &[])], &mut session).unwrap_err();
        assert_eq!(error.to_string(), "a `registry` cache needs `ref=…`");
    }
}
