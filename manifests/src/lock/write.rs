//! A lock file's text, and the checksum over an entry of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use oci_spec::image::Digest;

use super::{
    LockFile, LockedBuild, LockedImage, LockedLayer, LockedPlatform, PinnedConda, PinnedFile, Pins,
};
use crate::digest::sha256;
use crate::toml_text::{TomlText, bare_or_quoted, inline, quoted};

/// The last line: a file without it was cut off.
pub(super) const END: &str = "# end of lock";

/// The whole file.
pub(super) fn to_toml(lock: &LockFile) -> String {
    let mut out = TomlText::default();
    out.comment("Written by mlbuild. Commit this file; don't edit it by hand.");
    out.plain("version", version(lock));
    for image in lock.images.values() {
        out.array_table("image");
        out.string("checksum", checksum(image));
        out.push(&entry(image));
    }
    out.blank();
    out.push(END);
    out.blank();
    out.finish()
}

/// The lowest format that holds what the lock says: older readers then still read it.
fn version(lock: &LockFile) -> u32 {
    let any = |is: fn(&LockedImage) -> bool| lock.images.values().any(is);
    let has_conda = |build: &LockedBuild| build.platforms.values().any(|p| !p.conda.is_empty());
    let mut builds = lock
        .images
        .values()
        .filter_map(|image| image.build.as_ref());
    if any(|image| image.variant.is_some()) {
        5
    } else if builds.any(has_conda) {
        4
    } else if any(|image| image.build.is_some()) {
        3
    } else if any(|image| image.derived.is_some()) {
        2
    } else {
        1
    }
}

/// sha256 of the entry's text without the checksum itself.
pub(super) fn checksum(image: &LockedImage) -> Digest {
    sha256(entry(image).as_bytes())
}

/// The entry as it will read back: whole seconds, sorted lists.
pub(super) fn normalized(mut image: LockedImage) -> LockedImage {
    image.created = Timestamp::from_second(image.created.as_second()).unwrap_or(image.created);
    image.bases.sort_by(|a, b| a.reference.cmp(&b.reference));
    image.bases.dedup_by(|a, b| a.reference == b.reference);
    if let Some(packages) = &mut image.packages {
        packages.apt.sort();
        packages.python.sort();
    }
    image.packages = image
        .packages
        .filter(|p| !p.apt.is_empty() || !p.python.is_empty());
    for pins in image
        .build
        .iter_mut()
        .flat_map(|b| b.platforms.values_mut())
    {
        pins.requested.sort();
        pins.requested.dedup();
        pins.build_requested.sort();
        pins.build_requested.dedup();
        pins.apt.sort();
        pins.python_packages.sort();
        pins.conda.sort();
    }
    image
}

fn entry(image: &LockedImage) -> String {
    let mut out = TomlText::default();
    out.string("name", &image.name);
    out.optional("tag", image.tag.as_ref());
    out.optional("target", image.target.as_ref());
    out.optional("variant", image.variant.as_ref());
    out.string("created", image.created);
    if let Some(derived) = &image.derived {
        let fields = [
            ("from", quoted(&derived.from)),
            ("uid", derived.uid.to_string()),
            ("gid", derived.gid.to_string()),
            ("name", quoted(&derived.name)),
        ];
        out.plain("derived", inline(&fields));
    }

    let inputs = &image.inputs;
    out.table("image.inputs");
    out.string("mlbuild", &inputs.mlbuild);
    out.optional("template", inputs.template.as_ref());
    out.optional("spec", inputs.spec.as_ref());
    out.string("dockerfile", &inputs.dockerfile);
    out.optional("context", inputs.context.as_ref());
    out.optional("settings", inputs.settings.as_ref());
    if !inputs.args.is_empty() {
        out.table("image.inputs.args");
        for (name, value) in &inputs.args {
            out.string(name, value);
        }
    }

    for base in &image.bases {
        out.array_table("image.bases");
        out.string("reference", &base.reference);
        out.string("digest", &base.digest);
        digests(&mut out, "image.bases.platforms", &base.platforms);
    }
    if let Some(builder) = &image.builder {
        out.table("image.builder");
        out.string("name", &builder.name);
        out.string("version", &builder.version);
    }
    if image.platforms.is_empty() {
        out.table("image.platforms");
    }
    for (name, platform) in &image.platforms {
        out.table(&format!("image.platforms.{}", bare_or_quoted(name)));
        platform_lines(&mut out, platform);
    }
    if let Some(published) = &image.published {
        out.table("image.published");
        out.string("reference", &published.reference);
        out.string("digest", &published.digest);
        out.string("media_type", &published.media_type);
        out.plain("size", published.size);
    }
    packages_lines(&mut out, image);
    if let Some(build) = &image.build {
        build_lines(&mut out, build);
    }
    out.finish()
}

fn digests(out: &mut TomlText, table: &str, digests: &BTreeMap<String, Digest>) {
    out.table(table);
    for (name, digest) in digests {
        out.string(name, digest);
    }
}

fn platform_lines(out: &mut TomlText, platform: &LockedPlatform) {
    out.string("manifest", &platform.manifest);
    out.string("config", &platform.config);
    out.list("layers", platform.layers.iter().map(layer_line));
}

fn layer_line(layer: &LockedLayer) -> String {
    inline(&[
        ("digest", quoted(layer.digest.as_ref())),
        ("diff_id", quoted(layer.diff_id.as_ref())),
        ("size", layer.size.to_string()),
        ("media_type", quoted(&layer.media_type)),
    ])
}

fn packages_lines(out: &mut TomlText, image: &LockedImage) {
    let Some(packages) = &image.packages else {
        return;
    };
    out.table("image.packages");
    if !packages.apt.is_empty() {
        let lines = packages.apt.iter().map(|p| {
            let known = [
                Some(("name", quoted(&p.name))),
                Some(("version", quoted(&p.version))),
                Some(("arch", quoted(&p.arch))),
                p.sha256.as_ref().map(|hash| ("sha256", quoted(hash))),
                p.size.map(|size| ("size", size.to_string())),
            ];
            inline(&known.into_iter().flatten().collect::<Vec<_>>())
        });
        out.list("apt", lines);
    }
    if !packages.python.is_empty() {
        let lines = packages.python.iter().map(|p| {
            let known = [
                Some(("name", quoted(&p.name))),
                Some(("version", quoted(&p.version))),
                p.file.as_ref().map(|file| ("file", quoted(file))),
                p.sha256.as_ref().map(|hash| ("sha256", quoted(hash))),
                p.size.map(|size| ("size", size.to_string())),
            ];
            inline(&known.into_iter().flatten().collect::<Vec<_>>())
        });
        out.list("python", lines);
    }
}

fn build_lines(out: &mut TomlText, build: &LockedBuild) {
    out.table("image.build");
    out.string("request", &build.request);
    out.plain("epoch", build.epoch);
    out.string("media_types", &build.media_types);
    out.string("compression", &build.compression);
    out.plain("level", build.level);
    out.optional("as_of", build.as_of.as_ref());
    out.optional("method", build.method.as_ref());
    if build.bytecode {
        out.plain("bytecode", true);
    }
    out.optional("vendored", build.vendored.as_ref());
    if build.platforms.is_empty() {
        out.table("image.build.platforms");
    }
    for (name, pins) in &build.platforms {
        out.table(&format!("image.build.platforms.{}", bare_or_quoted(name)));
        pins_lines(out, pins);
    }
}

fn pins_lines(out: &mut TomlText, pins: &Pins) {
    out.optional("python", pins.python.as_ref());
    out.optional("pip", pins.pip.as_ref());
    if let Some(uv) = &pins.uv {
        out.plain("uv", file_line(uv));
    }
    if !pins.requested.is_empty() {
        out.list("requested", pins.requested.iter().map(|name| quoted(name)));
    }
    if !pins.build_requested.is_empty() {
        let names = pins.build_requested.iter();
        out.list("build_requested", names.map(|name| quoted(name)));
    }
    if !pins.apt.is_empty() {
        let lines = pins.apt.iter().map(|deb| {
            let mut fields = vec![
                ("name", quoted(&deb.name)),
                ("version", quoted(&deb.version)),
                ("arch", quoted(&deb.arch)),
                ("sha256", quoted(&deb.sha256)),
                ("size", deb.size.to_string()),
                ("suite", quoted(&deb.suite)),
                ("component", quoted(&deb.component)),
                ("path", quoted(&deb.path)),
            ];
            if deb.build_only {
                fields.push(("build_only", "true".to_owned()));
            }
            inline(&fields)
        });
        out.list("apt", lines);
    }
    if !pins.layers.is_empty() {
        out.list("layers", pins.layers.iter().map(|name| quoted(name)));
    }
    if !pins.python_packages.is_empty() {
        out.list(
            "python_packages",
            pins.python_packages.iter().map(file_line),
        );
    }
    if let Some(rattler) = &pins.rattler {
        out.plain("rattler", file_line(rattler));
    }
    if !pins.conda.is_empty() {
        out.list("conda", pins.conda.iter().map(conda_line));
    }
}

fn conda_line(package: &PinnedConda) -> String {
    inline(&[
        ("name", quoted(&package.name)),
        ("version", quoted(&package.version)),
        ("build", quoted(&package.build)),
        ("file", quoted(&package.file)),
        ("sha256", quoted(&package.sha256)),
        ("size", package.size.to_string()),
        ("url", quoted(&package.url)),
    ])
}

fn file_line(file: &PinnedFile) -> String {
    let flag = |name, is: bool| is.then(|| (name, "true".to_owned()));
    let fields = [
        Some(("name", quoted(&file.name))),
        Some(("version", quoted(&file.version))),
        Some(("file", quoted(&file.file))),
        Some(("sha256", quoted(&file.sha256))),
        Some(("size", file.size.to_string())),
        flag("source", file.source),
        flag("build_only", file.build_only),
    ];
    inline(&fields.into_iter().flatten().collect::<Vec<_>>())
}
