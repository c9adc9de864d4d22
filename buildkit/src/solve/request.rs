//! From what the caller wants to the request, the session's part in it, and
//! what is left to do once the daemon is done.

use mlbuild_proto::moby::buildkit::v1::{self as control, CacheOptions, SolveRequest};

use super::{SolveOptions, cache, oci_index};
use crate::error::SolveError;
use crate::session::{EXPORT, ExportTarget, Session, Targets};

/// A request, where its results go, and what is left to do afterwards.
pub(super) struct Prepared {
    pub(super) request: SolveRequest,
    pub(super) targets: Targets,
    pub(super) after: oci_index::Updates,
}

impl Prepared {
    pub(super) fn new(options: SolveOptions, session: &mut Session) -> Result<Self, SolveError> {
        let targets = Targets::default();
        let mut after = oci_index::Updates::default();
        let mut exporters = Vec::new();
        session.stores_mut().hold(options.held);
        for (index, mut export) in options.exports.into_iter().enumerate() {
            match (export.kind.as_str(), export.output) {
                ("image" | "moby", None) => {}
                ("local", Some(target @ ExportTarget::Dir(_))) => targets.add(index, target),
                ("oci" | "docker", Some(ExportTarget::Dir(path))) => {
                    export.attrs.insert("tar".into(), "false".into());
                    session.stores_mut().add(EXPORT.into(), path.clone());
                    after.layout(path);
                }
                (
                    "tar" | "oci" | "docker",
                    Some(target @ (ExportTarget::File(_) | ExportTarget::Writer(_))),
                ) => targets.add(index, target),
                (kind, output) => {
                    return Err(SolveError::Options(match output {
                        Some(_) => format!("the `{kind}` exporter doesn't write there"),
                        None => format!("the `{kind}` exporter needs a place to write to"),
                    }));
                }
            }
            exporters.push(control::Exporter {
                r#type: export.kind,
                attrs: export.attrs,
            });
        }

        let mut frontend_attrs = options.frontend_attrs;
        let imports = cache::imports(&options.cache_from, session)?;
        if !imports.is_empty() {
            frontend_attrs.insert("cache-imports".into(), cache::to_json(&imports));
        }
        let exports = cache::exports(&options.cache_to, session, &mut after)?;
        let first = exporters.first().cloned().unwrap_or_default();
        Ok(Self {
            request: SolveRequest {
                r#ref: options.reference,
                exporter_deprecated: first.r#type,
                exporter_attrs_deprecated: first.attrs,
                exporters,
                session: session.id().to_string(),
                frontend: options.frontend,
                frontend_attrs,
                cache: Some(CacheOptions { exports, imports }),
                entitlements: options.entitlements,
                source_policy: options.source_policy,
                internal: options.internal,
                ..Default::default()
            },
            targets,
            after,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solve::Export;

    fn session() -> Session {
        Session::builder().build().unwrap()
    }

    fn export(kind: &str, output: Option<ExportTarget>) -> SolveOptions {
        SolveOptions {
            exports: vec![Export {
                kind: kind.into(),
                attrs: [("name".to_string(), "x".to_string())].into(),
                output,
            }],
            ..Default::default()
        }
    }

    #[test]
    fn both_exporter_forms_are_filled() {
        let prepared = Prepared::new(export("image", None), &mut session()).unwrap();
        let request = prepared.request;
        assert_eq!(request.exporter_deprecated, "image");
        assert_eq!(request.exporter_attrs_deprecated["name"], "x");
        assert_eq!(request.exporters[0].attrs["name"], "x");
    }

    #[test]
    fn exporters_and_places_must_fit() {
        let error = |options| match Prepared::new(options, &mut session()) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("accepted"),
        };
        let file = || Some(ExportTarget::File("x.tar".into()));
        assert_eq!(
            error(export("tar", None)),
            "the `tar` exporter needs a place to write to"
        );
        assert_eq!(
            error(export("image", file())),
            "the `image` exporter doesn't write there"
        );
        assert_eq!(
            error(export("local", file())),
            "the `local` exporter doesn't write there"
        );
    }
}
