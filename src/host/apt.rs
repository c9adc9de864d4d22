//! apt's proxies, from the host's apt configuration.

use super::Host;

/// The `Acquire::http::Proxy` and `Acquire::https::Proxy` lines of `/etc/apt/apt.conf.d/*` and
/// `/etc/apt/apt.conf`, in apt's order; `None` where there are none.
///
/// Only the one-line form is read: it is what administrators and installers write.
pub(super) fn proxies(host: &Host) -> Option<String> {
    let folder = host.path("/etc/apt/apt.conf.d");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| is_read(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files.push(host.path("/etc/apt/apt.conf"));
    let mut text = String::new();
    for file in files {
        for line in std::fs::read_to_string(file).unwrap_or_default().lines() {
            let line = line.trim();
            let lower = line.to_ascii_lowercase();
            let is_proxy = ["acquire::http::proxy", "acquire::https::proxy"]
                .iter()
                .any(|key| {
                    lower
                        .strip_prefix(key)
                        .is_some_and(|rest| rest.starts_with([' ', '\t', ':']))
                });
            if is_proxy && line.ends_with(';') {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    (!text.is_empty()).then_some(text)
}

/// apt reads files without a suffix, or with `.conf` (apt.conf(5)).
fn is_read(name: &str) -> bool {
    !name.starts_with('.') && (!name.contains('.') || name.ends_with(".conf"))
}
