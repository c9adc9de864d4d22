//! Errors of registries.

use mlbuild_buildkit::CredentialsError;

use crate::error::CommandError;
use mlbuild::registry::RegistryError;
use mlbuild::shell::word;

impl From<RegistryError> for CommandError {
    fn from(error: RegistryError) -> Self {
        let made = CommandError::new(error.kind(), &error);
        match hint(&error) {
            Some(hint) => made.hint(hint),
            None => made,
        }
    }
}

fn hint(error: &RegistryError) -> Option<String> {
    match error {
        RegistryError::Unauthorized { registry, .. } => {
            Some(format!("docker login {}", word(registry)))
        }
        RegistryError::Denied {
            registry,
            action,
            repository,
            ..
        } => Some(format!(
            "docker login {}, as someone who may {action} {repository}",
            word(registry)
        )),
        RegistryError::NoDeletes { .. } => Some(
            "remove the tags that are shown by the registry's own page or program, or have its retention rules do so"
                .into(),
        ),
        RegistryError::Credentials(CredentialsError::Helper { registry, .. }) => Some(format!(
            "log in again, or remove the helper for {registry} from config.json"
        )),
        RegistryError::NoSuchPlatform { available, .. } => {
            available.first().map(|p| format!("--platform {}", word(p)))
        }
        RegistryError::Untrusted { registry, .. } => Some(format!(
            "add its CA to the system's, or set SSL_CERT_FILE, or put it into \
                 /etc/docker/certs.d/{registry}/ca.crt"
        )),
        RegistryError::PlainHttp { registry } => Some(format!(
            "--insecure-registry {}, if you trust the network to it",
            word(registry)
        )),
        RegistryError::Redirect { .. } => Some(
            "somebody on the way may want to read along: ask who runs it, or name the address that it \
             sends to"
                .to_owned(),
        ),
        RegistryError::Unreachable { registry, .. } if registry == "docker.io" => Some(
            "in a closed network, name an image that can be reached (--base), or a mirror \
                 in mlbuild.toml: [registry.mirrors] \"docker.io\" = [\"mirror.example:5000\"]"
                .to_owned(),
        ),
        RegistryError::Unreachable { registry, .. } => {
            Some(format!("is `{registry}` the right name, and does it run?"))
        }
        RegistryError::Silent { .. } => Some(
            "it takes connections and says nothing: see whether it is overloaded, or a proxy before \
             it has lost it"
                .to_owned(),
        ),
        RegistryError::Server {
            registry,
            status: 429,
            ..
        } => Some(format!(
            "anonymous use is limited more: docker login {}; or set a mirror",
            word(registry)
        )),
        RegistryError::Server {
            status: 400 | 415 | 422,
            what,
            ..
        } if what.starts_with("pushing the manifest") => Some(
            "some registries take no layers that are packed with zstd: --repack=gzip, with the image's other flags"
                .into(),
        ),
        RegistryError::NotMounted { .. } => Some(
            "name a tag in the repository that the image is in: its layers are there".to_owned(),
        ),
        RegistryError::Server { message, .. } if message.contains("no space left") => {
            Some("the registry's disk is full".to_owned())
        }
        _ => None,
    }
}
