//! Indexes that manifests name. PyTorch's own say which of its builds is installed; the others are
//! named, since packages come from the machine's package index.

use super::{Manifest, Unused, UnusedKind};

/// Packages that PyTorch's own indexes hold for each accelerator.
const OF_TORCH: [&str; 3] = ["torch", "torchvision", "torchaudio"];

/// The indexes of one manifest.
pub(super) struct Indexes<'a> {
    file: &'a str,
    /// Name and address, in the manifest's order.
    list: Vec<(&'a str, &'a str)>,
    used: Vec<&'a str>,
    /// Those that serve only the packages which name them, and that none has named so far.
    explicit: Vec<&'a str>,
}

impl<'a> Indexes<'a> {
    /// The `name` and `url` of each table of a list.
    pub fn of(file: &'a str, tables: Option<&'a toml::Value>) -> Self {
        let tables = tables.and_then(toml::Value::as_array).into_iter().flatten();
        let is_explicit = |table: &&'a toml::Value| {
            table.get("explicit").and_then(toml::Value::as_bool) == Some(true)
        };
        let explicit = tables.clone().filter(is_explicit);
        let explicit = explicit.filter_map(|table| table.get("name")?.as_str());
        let explicit = explicit.collect();
        let text = |table: &'a toml::Value, key: &str| table.get(key)?.as_str();
        let list = tables.map(|table| {
            let url = text(table, "url").unwrap_or_default();
            (text(table, "name").unwrap_or(url), url)
        });
        Self {
            file,
            list: list.collect(),
            used: Vec::new(),
            explicit,
        }
    }

    /// One more, which stands in a table of its own.
    pub fn and(mut self, name: &'a str, url: Option<&'a toml::Value>) -> Self {
        let url = url.and_then(toml::Value::as_str);
        self.list.extend(url.map(|url| (name, url)));
        self
    }

    /// One more, which is called after its address.
    pub fn with(mut self, url: &'a str) -> Self {
        if !self.list.iter().any(|(name, _)| *name == url) {
            self.list.push((url, url));
        }
        self
    }

    /// Takes in that a package comes from an index.
    pub fn serves(&mut self, package: &str, index: &str, manifest: &mut Manifest) {
        let known = self.list.iter().find(|(name, _)| *name == index).copied();
        let Some((name, url)) = known else {
            return;
        };
        self.explicit.retain(|explicit| *explicit != name);
        if let Some(build) = torch_build(url).filter(|_| OF_TORCH.contains(&package)) {
            manifest.torch_build.get_or_insert(build);
            self.used.push(name);
        }
    }

    /// Takes in that an index of PyTorch's would serve a package under another condition, which an
    /// extra that wasn't chosen or a marker rules out: that is no index that is lost.
    pub fn is_ruled_out(&mut self, package: &str, index: &str) {
        let known = self.list.iter().find(|(name, _)| *name == index);
        let of_torch = known.filter(|(_, url)| torch_build(url).is_some());
        if let Some((name, _)) = of_torch.filter(|_| OF_TORCH.contains(&package)) {
            self.used.push(name);
        }
    }

    /// Names those that nothing was taken from. The usual index is what a machine's own stands for.
    pub fn name_the_rest(self, manifest: &mut Manifest) {
        let usual = |name: &str, url: &str| {
            url.is_empty() || name.eq_ignore_ascii_case("pypi") || url.contains("pypi.org/")
        };
        for (name, url) in self.list {
            if usual(name, url) || self.used.contains(&name) || self.explicit.contains(&name) {
                continue;
            }
            manifest.unused.push(Unused {
                kind: UnusedKind::default(),
                what: format!("{}: source {name}", self.file),
                why: "packages come from this machine's package index".into(),
                next: "put the address into a requirements file (--extra-index-url), or into pip's configuration".into(),
            });
        }
    }
}

/// `cu124`, `cpu` or `rocm6.2` of the address of one of PyTorch's own indexes (`…/whl/cu124`).
fn torch_build(url: &str) -> Option<String> {
    let build = url.split_once("/whl/")?.1.split('/').next()?;
    let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let is_build = ["cpu", "xpu"].contains(&build)
        || build.strip_prefix("cu").is_some_and(digits)
        || build
            .strip_prefix("rocm")
            .is_some_and(|v| digits(&v.replace('.', "")));
    is_build.then(|| build.to_owned())
}

/// The build that a version of PyTorch names: `cpu` of `^2.2.0+cpu`.
pub(super) fn build_of_version(package: &str, version: &str) -> Option<String> {
    let build = version.split_once('+')?.1;
    let build = build.split([',', ' ']).next().unwrap_or(build);
    torch_build(&format!("/whl/{build}")).filter(|_| package == "torch")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_of_pytorchs_own_indexes() {
        for (url, build) in [
            ("https://x.org/whl/cu124", Some("cu124")),
            ("https://x.org/whl/cu113/", Some("cu113")),
            ("https://x.org/whl/cpu", Some("cpu")),
            ("https://x.org/whl/rocm6.2", Some("rocm6.2")),
            ("https://x.org/whl/", None),
            ("https://x.org/whl/nightly/cu126", None),
            ("https://x.org/simple", None),
        ] {
            assert_eq!(torch_build(url).as_deref(), build, "{url}");
        }
        assert_eq!(
            build_of_version("torch", "^2.2+cpu").as_deref(),
            Some("cpu")
        );
        assert_eq!(build_of_version("pyg-lib", "^0.2+pt113cpu"), None);
    }
}
