//! What RUN steps get of the host's network settings: proxies, CA bundle, package indexes.
//! Values may hold passwords and are never printed.

use super::Finding;
use crate::{
    host::{Host, detect},
    plan::HostSetting,
};

const AREA: &str = "network";
/// Variables that name a CA bundle, in the order in which they are looked at.
const BUNDLES: [&str; 4] = [
    "SSL_CERT_FILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
];

/// Looks at the settings, and at those that can't work.
pub(super) fn check(host: &Host) -> Vec<Finding> {
    let settings = detect(host);
    let mut findings = Vec::new();
    let names: Vec<&str> = settings.proxies.keys().map(String::as_str).collect();
    findings.push(match names.as_slice() {
        [] => Finding::ok(AREA, "no proxy"),
        names => Finding::ok(AREA, format!("proxies for RUN steps: {}", names.join(", "))),
    });
    for name in BUNDLES {
        if let Some(path) = host.env.get(name).filter(|v| !v.is_empty()) {
            let file = host.root.join(path.trim_start_matches('/'));
            if let Err(error) = std::fs::File::open(&file) {
                let message = format!("{name} names {path}, which can't be read: {error}");
                findings.push(Finding::fail(
                    AREA,
                    message,
                    format!("unset {name}    # or: name another file"),
                ));
            }
        }
    }
    findings.push(match settings.files.get(&HostSetting::CaBundle) {
        Some(bundle) => {
            let text = String::from_utf8_lossy(&bundle.0);
            match text.matches("-----BEGIN CERTIFICATE-----").count() {
                0 => Finding::fail(
                    AREA,
                    "the CA bundle for RUN steps holds no PEM certificate",
                    "export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
                ),
                count => Finding::ok(
                    AREA,
                    format!("CA bundle for RUN steps: {count} certificates"),
                ),
            }
        }
        None => Finding::ok(
            AREA,
            "no CA bundle of the host's own: RUN steps use the image's",
        ),
    });
    for (setting, tool) in [
        (HostSetting::PipConfig, "pip"),
        (HostSetting::UvConfig, "uv"),
    ] {
        findings.push(if settings.files.contains_key(&setting) {
            Finding::ok(
                AREA,
                format!("{tool} in RUN steps uses the host's package indexes"),
            )
        } else {
            Finding::ok(
                AREA,
                format!("{tool} in RUN steps uses its default package index"),
            )
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{super::text, *};

    #[test]
    fn settings_are_named_and_their_values_are_not() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(
            root.path().join("ca.pem"),
            "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        let env = [
            ("HTTPS_PROXY", "http://user:hunter2@proxy.example:3128"),
            ("SSL_CERT_FILE", "/ca.pem"),
            ("CURL_CA_BUNDLE", "/gone.pem"),
            ("PIP_INDEX_URL", "https://user:hunter2@index.example/simple"),
        ];
        let env = env.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        let found = text(
            &check(&Host {
                root: root.path().to_owned(),
                env,
            }),
            false,
        );
        assert!(!found.contains("hunter2"));
        insta::assert_snapshot!(found, @r"
        network  ok   proxies for RUN steps: HTTPS_PROXY
                 FAIL CURL_CA_BUNDLE names /gone.pem, which can't be read: No such file or directory (os error 2)
                      → unset CURL_CA_BUNDLE    # or: name another file
                 ok   CA bundle for RUN steps: 1 certificates
                 ok   pip in RUN steps uses the host's package indexes
                 ok   uv in RUN steps uses the host's package indexes
        ");
    }
}
