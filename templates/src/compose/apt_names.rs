//! Packages of the distribution whose names are gone from today's Debian and Ubuntu: what they are
//! called now, on every release that mlbuild has a base of or on the one that a base stands on.

/// Old and new names.
const RENAMED: [(&str, &str); 27] = [
    ("libgl1-mesa-glx", "libgl1"),
    ("libegl1-mesa", "libegl1"),
    ("libgles2-mesa", "libgles2"),
    ("libwayland-egl1-mesa", "libwayland-egl1"),
    ("python", "python3"),
    ("python-dev", "python3-dev"),
    ("python-pip", "python3-pip"),
    ("python-setuptools", "python3-setuptools"),
    ("python-tk", "python3-tk"),
    ("python-numpy", "python3-numpy"),
    ("python-opencv", "python3-opencv"),
    ("libpng12-dev", "libpng-dev"),
    ("libdc1394-22-dev", "libdc1394-dev"),
    ("libmysqlclient-dev", "default-libmysqlclient-dev"),
    ("mysql-client", "default-mysql-client"),
    ("libav-tools", "ffmpeg"),
    ("netcat", "netcat-openbsd"),
    ("ttf-dejavu", "fonts-dejavu"),
    ("ttf-liberation", "fonts-liberation"),
    ("ttf-wqy-zenhei", "fonts-wqy-zenhei"),
    ("libtiff5-dev", "libtiff-dev"),
    ("libreadline6-dev", "libreadline-dev"),
    ("qt5-default", "qtbase5-dev"),
    ("libcurl3", "libcurl4"),
    ("ttf-freefont", "fonts-freefont-ttf"),
    ("python-virtualenv", "python3-virtualenv"),
    ("python-yaml", "python3-yaml"),
];

/// Releases that bases stand on, by parts of their names and the versions of Python that each has.
const RELEASES: [(&str, &[&str], &str); 6] = [
    ("bullseye", &["bullseye", "debian:11"], "3.9"),
    ("bookworm", &["bookworm", "debian:12"], "3.11"),
    ("trixie", &["trixie", "debian:13"], "3.13"),
    (
        "focal",
        &["ubuntu20.04", "ubuntu-20.04", "ubuntu:20.04", "focal"],
        "3.8 3.9",
    ),
    (
        "jammy",
        &["ubuntu22.04", "ubuntu-22.04", "ubuntu:22.04", "jammy"],
        "3.10 3.11",
    ),
    (
        "noble",
        &["ubuntu24.04", "ubuntu-24.04", "ubuntu:24.04", "noble"],
        "3.12",
    ),
];

/// A package: the releases that have it, its counterpart on others, and whether that is the same under another name.
type ByRelease = (
    &'static str,
    &'static [&'static str],
    &'static [(&'static str, &'static str)],
    bool,
);

/// Names that change from release to release: where a package is, and under which other name there is one that does
/// the same. What is linked to the old one isn't served by another version of a library, which the last part says.
const BY_RELEASE: [ByRelease; 22] = [
    (
        "libasound2",
        &["bullseye", "bookworm", "focal", "jammy"],
        &[("trixie", "libasound2t64"), ("noble", "libasound2t64")],
        true,
    ),
    (
        "python3-distutils",
        &["bullseye", "bookworm", "focal", "jammy"],
        &[
            ("trixie", "python3-setuptools"),
            ("noble", "python3-setuptools"),
        ],
        true,
    ),
    (
        "libjpeg62-turbo",
        &["bullseye", "bookworm", "trixie"],
        &[
            ("focal", "libjpeg-turbo8"),
            ("jammy", "libjpeg-turbo8"),
            ("noble", "libjpeg-turbo8"),
        ],
        true,
    ),
    (
        "libjpeg8",
        &["focal", "jammy", "noble"],
        &[
            ("bullseye", "libjpeg62-turbo"),
            ("bookworm", "libjpeg62-turbo"),
            ("trixie", "libjpeg62-turbo"),
        ],
        false,
    ),
    (
        "libjpeg-turbo8",
        &["focal", "jammy", "noble"],
        &[
            ("bullseye", "libjpeg62-turbo"),
            ("bookworm", "libjpeg62-turbo"),
            ("trixie", "libjpeg62-turbo"),
        ],
        true,
    ),
    (
        "libssl1.1",
        &["bullseye", "focal"],
        &[
            ("bookworm", "libssl3"),
            ("jammy", "libssl3"),
            ("trixie", "libssl3t64"),
            ("noble", "libssl3t64"),
        ],
        false,
    ),
    (
        "libssl3",
        &["bookworm", "jammy"],
        &[
            ("bullseye", "libssl1.1"),
            ("focal", "libssl1.1"),
            ("noble", "libssl3t64"),
            ("trixie", "libssl3t64"),
        ],
        true,
    ),
    (
        "libtinfo5",
        &["bullseye", "bookworm", "focal", "jammy"],
        &[("trixie", "libtinfo6"), ("noble", "libtinfo6")],
        false,
    ),
    (
        "libncurses5",
        &["bullseye", "bookworm", "focal", "jammy"],
        &[("trixie", "libncurses6"), ("noble", "libncurses6")],
        false,
    ),
    ("libicu66", &["focal"], ICU, false),
    ("libicu67", &["bullseye"], ICU, false),
    ("libicu70", &["jammy"], ICU, false),
    ("libicu72", &["bookworm"], ICU, false),
    ("libicu74", &["noble"], ICU, false),
    ("libffi6", &[], FFI, false),
    ("libffi7", &["bullseye", "focal"], FFI, false),
    (
        "libwebp6",
        &["bullseye", "focal"],
        &[
            ("bookworm", "libwebp7"),
            ("trixie", "libwebp7"),
            ("jammy", "libwebp7"),
            ("noble", "libwebp7"),
        ],
        false,
    ),
    (
        "libtiff5",
        &["bullseye", "focal", "jammy"],
        &[
            ("bookworm", "libtiff6"),
            ("trixie", "libtiff6"),
            ("noble", "libtiff6"),
        ],
        false,
    ),
    (
        "libavcodec58",
        &["bullseye", "focal", "jammy"],
        &[
            ("bookworm", "libavcodec59"),
            ("trixie", "libavcodec61"),
            ("noble", "libavcodec60"),
        ],
        false,
    ),
    (
        "openjdk-8-jdk",
        &["focal", "jammy", "noble"],
        &[
            ("bullseye", "openjdk-17-jdk"),
            ("bookworm", "openjdk-17-jdk"),
            ("trixie", "openjdk-21-jdk"),
        ],
        false,
    ),
    (
        "openjdk-11-jdk",
        &["bullseye", "focal", "jammy", "noble"],
        &[("bookworm", "openjdk-17-jdk"), ("trixie", "openjdk-21-jdk")],
        false,
    ),
    (
        "openjdk-11-jre",
        &["bullseye", "focal", "jammy", "noble"],
        &[("bookworm", "openjdk-17-jre"), ("trixie", "openjdk-21-jre")],
        false,
    ),
];

const ICU: &[(&str, &str)] = &[
    ("bullseye", "libicu67"),
    ("bookworm", "libicu72"),
    ("trixie", "libicu76"),
    ("focal", "libicu66"),
    ("jammy", "libicu70"),
    ("noble", "libicu74"),
];

const FFI: &[(&str, &str)] = &[
    ("bullseye", "libffi7"),
    ("bookworm", "libffi8"),
    ("trixie", "libffi8"),
    ("focal", "libffi7"),
    ("jammy", "libffi8"),
    ("noble", "libffi8"),
];

/// What a package is on a base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// What it is called, as far as anybody knows.
    AsItIs,
    /// It has another name there.
    Renamed(&'static str),
    /// The release hasn't got it, and has another version of it.
    Another {
        release: &'static str,
        name: &'static str,
    },
    /// A Python that isn't the release's own: its version, and the release.
    Python {
        version: String,
        release: &'static str,
    },
    /// No release has it.
    Gone,
}

/// What a package is called on a base, by the base's name.
pub(super) fn on(package: &str, base: &str) -> Name {
    if let Some(new) = renamed(package) {
        return Name::Renamed(new);
    }
    if GONE.contains(&package) {
        return Name::Gone;
    }
    let release = RELEASES
        .iter()
        .find(|(_, parts, _)| parts.iter().any(|part| base.contains(part)));
    let Some((release, _, python)) = release else {
        return Name::AsItIs;
    };
    let row = BY_RELEASE.iter().find(|(name, ..)| *name == package);
    if let Some((_, _, others, is_same)) = row.filter(|(_, has, ..)| !has.contains(release)) {
        return match others.iter().find(|(of, _)| of == release) {
            Some((_, name)) if *is_same => Name::Renamed(name),
            Some((_, name)) => Name::Another { release, name },
            None => Name::AsItIs,
        };
    }
    let has = |version: &String| python.split(' ').any(|known| known == version);
    match of_python(package).filter(|version| !has(version)) {
        Some(version) => Name::Python { version, release },
        None => Name::AsItIs,
    }
}

/// The version of `python3.8`, `python3.8-dev`, `libpython3.8`.
fn of_python(package: &str) -> Option<String> {
    let rest = package.strip_prefix("lib").unwrap_or(package);
    let rest = rest.strip_prefix("python3.")?;
    let (minor, end) = rest.split_at(rest.find('-').unwrap_or(rest.len()));
    let is_number = !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit());
    let is_known = ["", "-dev", "-venv", "-distutils", "-minimal", "-full"].contains(&end);
    (is_number && is_known).then(|| format!("3.{minor}"))
}

/// Names that nothing has taken the place of.
const GONE: [&str; 7] = [
    "libjasper-dev",
    "libjasper1",
    "libavresample-dev",
    "libssl1.0.0",
    "libssl1.0-dev",
    "libgconf-2-4",
    "libtbb2",
];

/// The name of today, where a package is called otherwise by now.
pub(super) fn renamed(package: &str) -> Option<&'static str> {
    let found = RENAMED.iter().find(|(old, _)| *old == package);
    found.map(|(_, new)| *new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_have_the_name_of_the_base_s_release() {
        const BOOKWORM: &str = "python:3.12-slim-bookworm";
        const JAMMY: &str = "nvidia/cuda:12.4.1-cudnn-runtime-ubuntu22.04";
        const NOBLE: &str = "nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04";
        const FOCAL: &str = "nvidia/cuda:11.2.2-cudnn8-runtime-ubuntu20.04";
        let another = |release, name| Name::Another { release, name };
        let python = |version: &str, release| Name::Python {
            version: version.into(),
            release,
        };
        for (package, base, name) in [
            ("libgl1-mesa-glx", JAMMY, Name::Renamed("libgl1")),
            ("libasound2", BOOKWORM, Name::AsItIs),
            ("libasound2", NOBLE, Name::Renamed("libasound2t64")),
            ("libasound2-dev", NOBLE, Name::AsItIs),
            ("python3-distutils", JAMMY, Name::AsItIs),
            (
                "python3-distutils",
                NOBLE,
                Name::Renamed("python3-setuptools"),
            ),
            ("libssl1.1", FOCAL, Name::AsItIs),
            ("libssl1.1", BOOKWORM, another("bookworm", "libssl3")),
            ("libssl1.1", NOBLE, another("noble", "libssl3t64")),
            ("libtinfo5", BOOKWORM, Name::AsItIs),
            ("libtinfo5", NOBLE, another("noble", "libtinfo6")),
            ("libjpeg-turbo8", BOOKWORM, Name::Renamed("libjpeg62-turbo")),
            ("libjpeg62-turbo", NOBLE, Name::Renamed("libjpeg-turbo8")),
            ("libicu66", JAMMY, another("jammy", "libicu70")),
            ("libicu72", BOOKWORM, Name::AsItIs),
            (
                "openjdk-11-jdk",
                BOOKWORM,
                another("bookworm", "openjdk-17-jdk"),
            ),
            ("openjdk-11-jdk", JAMMY, Name::AsItIs),
            ("python3.8-dev", BOOKWORM, python("3.8", "bookworm")),
            ("python3.10", JAMMY, Name::AsItIs),
            ("python3.10-venv", NOBLE, python("3.10", "noble")),
            ("python3-dev", NOBLE, Name::AsItIs),
            ("python3.8-gdbm", NOBLE, Name::AsItIs),
            // Nobody knows what another base stands on.
            ("libssl1.1", "registry.example/own:1", Name::AsItIs),
            ("libjasper1", "registry.example/own:1", Name::Gone),
        ] {
            assert_eq!(on(package, base), name, "{package} on {base}");
        }
        // Whoever is called otherwise is there under that name.
        for (name, has, others, _) in BY_RELEASE {
            for (release, other) in others {
                let other_row = BY_RELEASE.iter().find(|(of, ..)| of == other);
                assert!(
                    other_row.is_none_or(|(_, has, ..)| has.contains(release)),
                    "{name} {other}"
                );
            }
            for (release, ..) in RELEASES {
                let is_told = has.contains(&release) || others.iter().any(|(of, _)| *of == release);
                assert!(is_told, "{name} on {release}");
            }
        }
    }
}
