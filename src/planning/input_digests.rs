//! What an image was made from, as the lock records it, and whether that changed.

use std::collections::BTreeMap;

use mlbuild_manifests::lock::{ASSEMBLE, Inputs, LockedImage};
use mlbuild_secrets::must_hide;
use mlbuild_templates::compose::INPUTS_CONTEXT;
use oci_spec::image::Digest;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::compose::Composed;
use crate::plan::{BuildPlan, Context, IgnoreFile};

/// What stands in the lock for the value of an argument that may be a secret.
const HIDDEN: &str = "<not recorded>";

/// The inputs of a plan. `context` is the digest of the selected files, where there are any;
/// `is_assembled` says whether mlbuild makes the image and not a builder.
pub fn inputs(
    plan: &BuildPlan,
    composed: &Composed,
    context: Option<Digest>,
    is_assembled: bool,
) -> Inputs {
    Inputs {
        mlbuild: env!("CARGO_PKG_VERSION").to_owned(),
        template: composed.template.clone(),
        spec: composed.spec_sha256.as_deref().map(sha256),
        dockerfile: sha256(&plan.dockerfile.sha256),
        context,
        settings: Some(sha256(&settings_sha256(plan, is_assembled))),
        args: plan
            .build_args
            .iter()
            .map(|(name, value)| (name.clone(), shown(name, value).to_owned()))
            .collect(),
    }
}

/// As [`inputs`], of plans for one platform each that make one image together.
pub fn inputs_of_all<'a>(
    plans: impl IntoIterator<Item = &'a BuildPlan>,
    composed: &Composed,
    context: Option<&Digest>,
    is_assembled: bool,
) -> Option<Inputs> {
    let of_one = |plan| inputs(plan, composed, context.cloned(), is_assembled);
    let mut all = plans.into_iter().map(of_one);
    let first = all.next()?;
    let together =
        |a: &Digest, b: &Digest| sha256(&hex::encode(Sha256::digest(format!("{a} {b}"))));
    Some(all.fold(first, |mut made, next| {
        made.dockerfile = together(&made.dockerfile, &next.dockerfile);
        let settings = made.settings.iter().zip(&next.settings).next();
        made.settings = settings.map(|(a, b)| together(a, b));
        made
    }))
}

fn shown<'a>(name: &str, value: &'a str) -> &'a str {
    if must_hide(name, value) {
        HIDDEN
    } else {
        value
    }
}

/// Hash of everything else that shapes the image: flags that are no file.
fn settings_sha256(plan: &BuildPlan, is_assembled: bool) -> String {
    let mut named_contexts = plan.named_contexts.clone();
    let inputs = named_contexts.remove(INPUTS_CONTEXT);
    // Where the ignore file is, is this machine's business too.
    let ignore = plan.dockerfile.ignore.as_ref();
    // So is what data lies about: what is sent has a digest of its own.
    let text = |file: &IgnoreFile| file.text.strip_suffix(&*file.large).map(str::to_owned);
    let ignore = ignore.map(|file| json!({ "name": ".dockerignore", "text": text(file) }));
    let mut document = json!({
        "annotations": plan.annotations,
        "attestations": plan.attestations,
        "entitlements": plan.entitlements,
        "ignore": ignore,
        "labels": plan.labels,
        "named_contexts": named_contexts,
        "platforms": plan.platforms,
        "policy": plan.source_policy,
        "run": plan.run,
        "secrets": plan.secrets.keys().collect::<Vec<_>>(),
        "source_date_epoch": plan.source_date_epoch,
        "ssh": plan.ssh.keys().collect::<Vec<_>>(),
        "target": plan.target,
    });
    // The folder's place is this machine's business, its name says what is in it.
    if let Some(Context::Folder { path }) = &inputs {
        let id = path
            .parent()
            .and_then(|p| p.file_name())
            .unwrap_or_default();
        document["inputs"] = json!(id.to_string_lossy());
    }
    if is_assembled {
        document["method"] = json!(ASSEMBLE);
    }
    if let Some(repack) = &plan.repack {
        document["repack"] = json!(repack);
    }
    // Compression and the like; annotations are above.
    let exporter: BTreeMap<_, _> = image_attrs(plan).collect();
    if !exporter.is_empty() {
        document["exporter"] = json!(exporter);
    }
    hex::encode(Sha256::digest(document.to_string()))
}

/// What the user asked of the image's exporter.
fn image_attrs(plan: &BuildPlan) -> impl Iterator<Item = (&String, &String)> {
    let images = plan.outputs.iter().filter(|output| output.kind == "image");
    images
        .flat_map(|output| &output.attrs)
        .filter(|(name, _)| *name != "push" && !name.starts_with("annotation."))
}

fn sha256(hex: &str) -> Digest {
    format!("sha256:{hex}")
        .parse()
        .expect("64 hex digits are a digest")
}

/// Why the image would have to be built again; empty where every input is the lock's.
pub fn changed(locked: Option<&LockedImage>, inputs: &Inputs) -> Vec<String> {
    let Some(locked) = locked else {
        return vec!["the lock has no entry for this image".into()];
    };
    if let Some(derived) = &locked.derived {
        let from = &derived.from;
        return vec![format!(
            "the lock's image was made of {from} without a build"
        )];
    }
    let old = &locked.inputs;
    let mut reasons = Vec::new();
    for (same, reason) in [
        (old.template == inputs.template, "the template"),
        (old.spec == inputs.spec, "the image's settings"),
        (old.dockerfile == inputs.dockerfile, "the Dockerfile"),
        (old.context == inputs.context, "the files of the context"),
        (old.settings == inputs.settings, "the build's settings"),
        (old.args == inputs.args, "the build arguments"),
    ] {
        if !same {
            reasons.push(format!("{reason} changed"));
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::{HIDDEN, shown};

    #[test]
    fn the_committed_lock_holds_no_secret() {
        for (name, value) in [
            ("SIGNING_PRIVATE_KEY", "hunter2"),
            ("GPG_PASSPHRASE", "hunter2"),
            ("DB_PASSWORD", "12345678"),
            ("ANY", "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH"),
            ("INDEX", "https://me:hunter2@pypi.example/simple"),
        ] {
            assert_eq!(shown(name, value), HIDDEN, "{name}");
        }
        for (name, value) in [("MAX_TOKENS", "512"), ("AUTHOR", "ann"), ("KEYBOARD", "de")] {
            assert_eq!(shown(name, value), value, "{name}");
        }
    }
}
