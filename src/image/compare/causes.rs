//! Why files differ between two builds of the same thing, where that is known.

use super::report::FieldDifference;
use super::row::Row;

/// A known cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cause {
    pub(super) why: &'static str,
    pub(super) remedy: &'static str,
}

const fn cause(why: &'static str, remedy: &'static str) -> Cause {
    Cause { why, remedy }
}

const EPOCH: &str = "set SOURCE_DATE_EPOCH, and have timestamps rewritten";
const REMOVE: &str = "remove it in the step that makes it, or mount a tmpfs there";

const BY_TIME: Cause = cause(
    "compiled Python that names its source's time",
    "compile with --invalidation-mode unchecked-hash",
);
const BYTECODE: Cause = cause(
    "compiled Python that hangs on the hash seed or on how many compiled at once",
    "compile with PYTHONHASHSEED=0 and -j1",
);
const TIMES: Cause = cause("made at another time", EPOCH);
const UMASK: Cause = cause(
    "another umask where it was copied or made",
    "COPY --chmod, or umask in the step",
);
pub(super) const SHADOW: Cause = cause(
    "the day on which a password was last changed",
    "give useradd SOURCE_DATE_EPOCH",
);

/// Where a file's place says why. A `*` stands for anything, `/` too.
const PLACES: &[(&str, Cause)] = &[
    ("var/log/apt/*", cause("apt's log", REMOVE)),
    ("var/log/dpkg.log", cause("dpkg's log", REMOVE)),
    (
        "var/log/alternatives.log",
        cause("the log of update-alternatives", REMOVE),
    ),
    ("var/log/bootstrap.log", cause("debootstrap's log", REMOVE)),
    ("var/log/*", cause("a log", REMOVE)),
    ("var/lib/apt/lists/*", cause("apt's package lists", REMOVE)),
    ("var/cache/apt/*", cause("apt's cache", REMOVE)),
    ("var/cache/debconf/*", cause("debconf's cache", REMOVE)),
    (
        "var/cache/ldconfig/aux-cache",
        cause(
            "ldconfig's cache, which holds inode numbers and times",
            REMOVE,
        ),
    ),
    (
        "var/cache/fontconfig/*",
        cause("fontconfig's cache, which holds times", REMOVE),
    ),
    ("var/cache/man/*", cause("the manual's index", REMOVE)),
    (
        "usr/lib/locale/locale-archive",
        cause(
            "the locale archive, which grows in the order of generation",
            "generate locales in one step",
        ),
    ),
    (
        "etc/machine-id",
        cause("the machine's id", "empty it in the step that makes it"),
    ),
    (
        "var/lib/dbus/machine-id",
        cause("the machine's id", "remove it in the step that makes it"),
    ),
    (
        "etc/ssh/ssh_host_*",
        cause(
            "ssh host keys, made anew by each build",
            "remove them, and make them when the container starts",
        ),
    ),
    (
        "etc/ssl/private/ssl-cert-snakeoil.key",
        cause("a key that the package ssl-cert makes anew", "remove it"),
    ),
    (
        "etc/ssl/certs/ssl-cert-snakeoil.pem",
        cause(
            "a certificate that the package ssl-cert makes anew",
            "remove it",
        ),
    ),
    ("etc/hostname", cause("the builder's host name", REMOVE)),
    ("etc/hosts", cause("the builder's hosts file", REMOVE)),
    ("etc/resolv.conf", cause("the builder's resolver", REMOVE)),
    (
        "*/.cache/*",
        cause("a cache", "mount a cache or a tmpfs there"),
    ),
    (
        "*.dist-info/direct_url.json",
        cause(
            "where a package was installed from",
            "install it from an index or from the same path",
        ),
    ),
    (
        "*.dist-info/uv_cache.json",
        cause(
            "uv's note of when a package was built",
            "set UV_NO_INSTALLER_METADATA=1",
        ),
    ),
    (
        "*.dist-info/INSTALLER",
        cause(
            "which tool installed a package",
            "use the same tool, or UV_NO_INSTALLER_METADATA=1",
        ),
    ),
    (
        "*.dist-info/RECORD",
        cause(
            "the hashes of a package's files, some of which differ",
            "see its other files",
        ),
    ),
    (
        "var/lib/dpkg/status*",
        cause(
            "other packages or other versions",
            "pin them; see the packages",
        ),
    ),
    (
        "var/lib/dpkg/info/*",
        cause(
            "other packages or other versions",
            "pin them; see the packages",
        ),
    ),
    (
        "var/lib/apt/extended_states",
        cause(
            "which packages were asked for, and which came along",
            "install the same ones in the same step",
        ),
    ),
];

/// What a place alone says.
pub(super) fn of_path(path: &[u8]) -> Option<Cause> {
    let path = String::from_utf8_lossy(path);
    let mut places = PLACES.iter();
    let found = places.find(|(pattern, _)| matches(pattern, &path));
    found.map(|(_, cause)| *cause)
}

/// What place and difference say.
pub(super) fn of(path: &[u8], a: &Row, b: &Row, fields: &[FieldDifference]) -> Option<Cause> {
    let pyc = |row: &'_ Row| row.more.as_ref().and_then(|more| more.pyc.clone());
    if let (Some(a), Some(b), true) = (pyc(a), pyc(b), a.hash != b.hash) {
        let by_time = a.is_by_time() && b.is_by_time() && a.code == b.code;
        return Some(if by_time { BY_TIME } else { BYTECODE });
    }
    let only = |name: &str| fields.iter().all(|field| field.field == name);
    if only("mtime") {
        return Some(TIMES);
    }
    if only("mode") && (a.mode ^ b.mode) & !0o077 == 0 {
        return Some(UMASK);
    }
    of_path(path)
}

fn matches(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = path.strip_prefix(first) else {
        return false;
    };
    let mut last = first;
    for part in parts {
        last = part;
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    last.is_empty() || rest.is_empty() || path.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_name_causes() {
        let of = |path: &str| of_path(path.as_bytes()).map(|c| c.why);
        assert_eq!(of("var/log/apt/term.log"), Some("apt's log"));
        assert_eq!(of("var/log/other"), Some("a log"));
        assert_eq!(of("root/.cache/uv/x"), Some("a cache"));
        let record = "opt/venv/lib/python3.11/site-packages/a-1.dist-info/RECORD";
        assert_eq!(
            of(record),
            Some("the hashes of a package's files, some of which differ")
        );
        assert_eq!(of("etc/hosts"), Some("the builder's hosts file"));
        assert_eq!(of("etc/hosts.allow"), None);
        assert_eq!(of("app/train.py"), None);
    }
}
