//! `mlbuild adopt`: gives an image to another user, without a builder and without its big layers.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use mlbuild_manifests::inside::place_of;
use mlbuild_templates::value::{Gid, Uid, UserName};
use oci_spec::distribution::Reference;
use serde_json::json;

use crate::error::{CommandError, CommandResult};
use crate::support::format::Format;
use crate::support::output;
use crate::support::registry_args::RegistryArgs;
use crate::support::terminal::Terminal;
use crate::support::value;
use mlbuild::adopt::{self, AdoptOutcome, AdoptRequest};
use mlbuild::image::reown::NewOwner;
use mlbuild::registry::{RegistryError, platform_name};
use mlbuild::settings;
use mlbuild::trust;

/// Give an image in a registry to another user, without building it.
///
/// Writes the image's last layer and its configuration for other ids and pushes them; all other
/// layers are used as they are, and not downloaded. Prints REFERENCE@DIGEST as the registry
/// confirmed it. For images whose last layer holds all that belongs to their user, as those of
/// mlbuild's templates do.
#[derive(Debug, Clone, Args)]
pub struct AdoptArgs {
    /// Image in a registry.
    #[arg(value_name = "REFERENCE")]
    pub image: String,
    /// User id that it gets.
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub uid: String,
    /// Group id that it gets (default: the user id).
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub gid: Option<String>,
    /// Login name that it gets (default: the one it has).
    #[arg(long, visible_aliases = ["user", "username"], value_name = "NAME")]
    pub name: Option<String>,
    /// Name of the new image, in the same registry (default: the old name with the tag TAG-uidID).
    #[arg(short, long, value_name = "REFERENCE")]
    pub tag: Option<String>,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// Lock file that gets an entry, where it is there.
    #[arg(long = "lock", value_name = "FILE", default_value = "mlbuild.lock", value_hint = ValueHint::FilePath)]
    pub lock_file: PathBuf,
    /// Write no lock.
    #[arg(long)]
    pub no_lock: bool,
    /// Let a link of the project lead the lock out of its folder.
    #[arg(long)]
    pub trust: bool,
    /// Form of the answer on stdout.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// Runs the verb.
///
/// # Errors
/// An image that can't be given away safely, or a registry that doesn't take it.
pub async fn run(args: AdoptArgs) -> CommandResult {
    let owner = owner(&args)?;
    let from = RegistryError::reference(&args.image)?;
    let target = target(args.tag.as_deref(), &from, &owner)?;
    let project = settings::current_folder()?;
    let registry = args.registry.client(&project)?;
    let named = project.join(&args.lock_file);
    let lock = (!args.no_lock).then(|| place_of(&named));
    let link = lock
        .as_ref()
        .and_then(|place| trust::link_of_lock(&project, &named, place));
    let links = Vec::from_iter(link);
    trust::check(&project, &links, args.trust, &Terminal::default())?;
    let request = AdoptRequest {
        from,
        owner,
        target,
        lock,
    };
    let outcome = adopt::adopt(&request, &registry, &Terminal::default()).await?;
    answer(args.format, &outcome)
}

fn owner(args: &AdoptArgs) -> CommandResult<NewOwner> {
    let uid: Uid = value::parse("--uid", &args.uid)?;
    let gid: Option<Gid> = match &args.gid {
        Some(gid) => Some(value::parse("--gid", gid)?),
        None => None,
    };
    let name: Option<UserName> = match &args.name {
        Some(name) => Some(value::parse("--name", name)?),
        None => None,
    };
    if name.as_ref().is_some_and(|name| name.as_str() == "root") {
        return Err(CommandError::user("--name root: root is there already")
            .hint("to run as root, no other image is needed: docker run --user 0"));
    }
    Ok(NewOwner {
        uid: uid.get(),
        gid: gid.map_or(uid.get(), Gid::get),
        name: name.map(|name| name.as_str().to_owned()),
    })
}

/// Where the new image goes: what was asked for, or a tag of its own beside the old one.
fn target(asked: Option<&str>, from: &Reference, owner: &NewOwner) -> CommandResult<Reference> {
    let Some(asked) = asked else {
        return Ok(adopt::default_name(from, owner));
    };
    let target = RegistryError::reference(asked)
        .map_err(|error| CommandError::from(error).hint("write -t NAME:TAG"))?;
    if target.digest().is_some() {
        return Err(
            CommandError::user(format!("-t {asked}: a tag can't name a digest"))
                .hint("write NAME:TAG; the digest is what comes out"),
        );
    }
    if target.registry() != from.registry() {
        return Err(CommandError::user(format!(
            "-t {asked}: the layers of {from} are in {}, and adopt moves none",
            from.registry()
        ))
        .hint(format!(
            "adopt it in {}, then copy the image to {}",
            from.registry(),
            target.registry()
        )));
    }
    Ok(target)
}

fn answer(format: Format, outcome: &AdoptOutcome) -> CommandResult {
    let published = &outcome.published;
    if format == Format::Text {
        return output::answer(&published.pinned());
    }
    let platforms = outcome.platforms.iter().map(|platform| {
        let image = &platform.image;
        let user = platform.reowned.as_ref().map(|new| {
            json!({ "name": new.now.name, "uid": new.now.uid, "gid": new.now.gid, "home": new.now.home })
        });
        let about = json!({
            "manifest": image.manifest.digest(),
            "config": image.config.digest(),
            "layer": image.layers.last().map(|layer| layer.blob.digest()),
            "user": user,
            "from_template": platform.reowned.as_ref().map(|new| new.is_template),
        });
        (platform_name(&image.platform), about)
    });
    let answer = json!({
        "action": if outcome.is_unchanged { "unchanged" } else { "adopted" },
        "image": published.reference.to_string(),
        "pinned": published.pinned(),
        "digest": published.descriptor.digest(),
        "from": outcome.from,
        "platforms": platforms.collect::<serde_json::Map<_, _>>(),
        "lock": outcome.lock,
    });
    output::answer(&serde_json::to_string_pretty(&answer).expect("plain JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_image_gets_a_tag_of_its_own() {
        let of = |from: &str, asked, (uid, gid)| {
            let from = RegistryError::reference(from).unwrap();
            let to = NewOwner {
                uid,
                gid,
                name: None,
            };
            target(asked, &from, &to).map(|t| t.to_string()).ok()
        };
        let ok = |text: &str| Some(text.to_owned());
        assert_eq!(of("h:1/a:v1", None, (5, 5)), ok("h:1/a:v1-uid5"));
        assert_eq!(of("h:1/a:v1", None, (5, 6)), ok("h:1/a:v1-uid5-gid6"));
        let digest = format!("h:1/a@sha256:{}", "0".repeat(64));
        assert_eq!(of(&digest, None, (5, 5)), ok("h:1/a:uid5"));
        assert_eq!(of("h:1/a:v1", Some("h:1/b:x"), (5, 5)), ok("h:1/b:x"));
        assert_eq!(of("h:1/a:v1", Some("h:2/b:x"), (5, 5)), None);
        assert_eq!(of("h:1/a:v1", Some(&digest), (5, 5)), None);
    }
}
