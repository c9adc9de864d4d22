//! Files that hold secrets, by their names.

/// Names, in lower case, that files with secrets have.
const NAMES: [&str; 15] = [
    ".env",
    ".netrc",
    "_netrc",
    ".pypirc",
    ".npmrc",
    ".pgpass",
    ".htpasswd",
    ".git-credentials",
    ".dockercfg",
    ".dockerconfigjson",
    "credentials",
    "credentials.json",
    "kubeconfig",
    "kaggle.json",
    "wandb-key",
];
const STARTS: [&str; 8] = [
    ".env.",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "secret.",
    "secrets.",
    "service-account",
];
const ENDS: [&str; 8] = [
    ".pem",
    ".key",
    ".p12",
    ".pfx",
    ".jks",
    ".keystore",
    ".kdbx",
    ".gpg",
];
/// Ends of names that are there to be seen.
const EXAMPLES: [&str; 5] = [".example", ".sample", ".template", ".dist", ".pub"];

/// True if a path's name is one that files with secrets have.
pub fn is_secret_file(path: &str) -> bool {
    let path = path.to_lowercase();
    let name = path.rsplit('/').next().unwrap_or(&path);
    if EXAMPLES.iter().any(|end| name.ends_with(end)) {
        return false;
    }
    NAMES.contains(&name)
        || STARTS.iter().any(|start| name.starts_with(start))
        || ENDS.iter().any(|end| name.ends_with(end))
        || path.ends_with(".docker/config.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets() {
        for name in [
            ".env",
            "app/.env.production",
            "keys/server.pem",
            "ID_RSA",
            ".docker/config.json",
            "secrets.yaml",
        ] {
            assert!(is_secret_file(name), "{name}");
        }
        for name in [
            "env.py",
            ".env.example",
            "id_rsa.pub",
            "config.json",
            "keys.py",
            "monkey",
            "train.py",
            "secretary.py",
        ] {
            assert!(!is_secret_file(name), "{name}");
        }
    }
}
