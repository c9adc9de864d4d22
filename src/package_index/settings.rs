//! The machine's settings of package indexes, read from the files that steps of a build are given.

use percent_encoding::percent_decode_str;
use reqwest::{Certificate, ClientBuilder, NoProxy, Proxy};
use serde::Deserialize;
use url::Url;

use super::IndexError;
use crate::error::chain;
use crate::host::{Hidden, HostSettings};
use crate::plan::HostSetting;

/// The index that installers ask where nothing else is set up.
const PUBLIC: &str = "https://pypi.org/simple";

/// Indexes in the order in which uv asks them.
pub(super) struct Indexes {
    pub(super) all: Vec<Url>,
    /// Servers whose certificates aren't checked: `HOST` or `HOST:PORT`.
    trusted: Vec<String>,
}

/// A `uv.toml`, as [`crate::host`] writes it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct UvConfig {
    #[serde(default)]
    allow_insecure_host: Vec<String>,
    #[serde(default)]
    index: Vec<Index>,
}

#[derive(Deserialize)]
struct Index {
    url: String,
    #[serde(default)]
    default: bool,
}

impl Indexes {
    pub(super) fn of(host: &HostSettings) -> Result<Self, IndexError> {
        let file = host.files.get(&HostSetting::UvConfig);
        let config = file.map(|Hidden(text)| toml::from_str(&String::from_utf8_lossy(text)));
        // What stands in the file may hold a log-in: the parser's message would show it.
        let config: UvConfig = config
            .transpose()
            .map_err(|_| IndexError::Settings("they can't be understood".to_owned()))?
            .unwrap_or_default();
        let mut urls: Vec<&str> = config
            .index
            .iter()
            .map(|index| index.url.as_str())
            .collect();
        if !config.index.iter().any(|index| index.default) {
            urls.push(PUBLIC);
        }
        let read = |url: &str| {
            let url = Url::parse(url).ok().filter(|url| url.has_host());
            url.ok_or_else(|| IndexError::Settings("one of the indexes is no address".to_owned()))
        };
        Ok(Self {
            all: urls.into_iter().map(read).collect::<Result<_, _>>()?,
            trusted: config.allow_insecure_host,
        })
    }

    pub(super) fn trusts(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else {
            return false;
        };
        let with_port = url
            .port_or_known_default()
            .map(|port| format!("{host}:{port}"));
        let is_it = |trusted: &String| trusted == host || with_port.as_ref() == Some(trusted);
        self.trusted.iter().any(is_it)
    }

    /// Name and password for an address: those of an index on the same server.
    pub(super) fn log_in(&self, url: &Url) -> Option<(String, Option<String>)> {
        let has_one = |index: &&Url| !index.username().is_empty() || index.password().is_some();
        let same = |index: &&Url| index.origin() == url.origin();
        let index = self.all.iter().filter(has_one).find(same)?;
        let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        Some((plain(index.username()), index.password().map(plain)))
    }
}

/// A client with the machine's certificates and proxies, as steps of a build would use them.
pub(super) fn network(
    mut builder: ClientBuilder,
    host: &HostSettings,
) -> Result<ClientBuilder, IndexError> {
    if let Some(Hidden(bundle)) = host.files.get(&HostSetting::CaBundle) {
        let all = Certificate::from_pem_bundle(bundle);
        let all = all.map_err(|error| IndexError::Settings(chain(&error)))?;
        builder = builder.tls_certs_only(all);
    }
    let value = |name: &str| {
        let value = host.proxies.get(name)?;
        Some(String::from_utf8_lossy(&value.0).into_owned())
    };
    let besides = value("NO_PROXY").and_then(|list| NoProxy::from_string(&list));
    builder = builder.no_proxy();
    for (name, make) in [
        (
            "HTTP_PROXY",
            Proxy::http as fn(String) -> reqwest::Result<Proxy>,
        ),
        ("HTTPS_PROXY", Proxy::https),
        ("ALL_PROXY", Proxy::all),
    ] {
        if let Some(address) = value(name) {
            let proxy = make(address);
            // Its message would show the address, with what logs in there.
            let proxy =
                proxy.map_err(|_| IndexError::Settings(format!("{name} is no proxy's address")))?;
            builder = builder.proxy(proxy.no_proxy(besides.clone()));
        }
    }
    Ok(builder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Host, detect};

    fn indexes(env: &[(&str, &str)]) -> Indexes {
        let root = tempfile::tempdir().unwrap();
        let host = Host {
            root: root.path().to_owned(),
            env: env
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect(),
        };
        Indexes::of(&detect(&host)).unwrap()
    }

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn indexes_are_asked_in_the_order_of_uv_and_the_public_one_where_none_takes_its_place() {
        let all = |env: &[(&str, &str)]| -> Vec<String> {
            indexes(env).all.into_iter().map(String::from).collect()
        };
        assert_eq!(all(&[]), [PUBLIC]);
        let extra = ("PIP_EXTRA_INDEX_URL", "https://two.example/simple");
        assert_eq!(all(&[extra]), [extra.1, PUBLIC]);
        let own = ("PIP_INDEX_URL", "https://one.example/simple");
        assert_eq!(all(&[extra, own]), [extra.1, own.1]);
    }

    #[test]
    fn a_log_in_is_for_the_server_of_its_index() {
        let found = indexes(&[
            ("PIP_INDEX_URL", "https://me:a%40b@one.example/simple"),
            ("PIP_TRUSTED_HOST", "two.example:8443 three.example"),
        ]);
        let me = Some(("me".to_owned(), Some("a@b".to_owned())));
        assert_eq!(found.log_in(&url("https://one.example/files/x.whl")), me);
        for other in [
            "https://files.one.example/x.whl",
            "http://one.example/x.whl",
            "https://one.example:8443/x.whl",
            "https://one.example.evil.example/x.whl",
        ] {
            assert_eq!(found.log_in(&url(other)), None, "{other}");
        }
        assert!(found.trusts(&url("https://two.example:8443/x")));
        assert!(found.trusts(&url("https://three.example/x")));
        assert!(!found.trusts(&url("https://two.example/x")));
    }
}
