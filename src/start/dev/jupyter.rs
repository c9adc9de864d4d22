//! Jupyter: on this machine's loopback, with a token that stands on no command line.

use std::net::TcpListener;

use crate::runtime::{Options, RunSpec, Value};
use crate::start::StartError;

/// What Jupyter reads its token from.
pub(super) const TOKEN: &str = "JUPYTER_TOKEN";
/// Its port, in the container and by default outside.
const PORT: u16 = 8888;

/// Starts the first that the image has. As root it wants to be told that this is meant.
const SCRIPT: &str = r#"root=; [ "$(id -u)" != 0 ] || root=--allow-root
for kind in lab notebook server; do
  if command -v "jupyter-$kind" > /dev/null; then
    exec "jupyter-$kind" "--ip=$0" "--port=$1" --no-browser $root
  fi
done
echo "mlbuild: this image has no Jupyter; for one that has: mlbuild image --package jupyterlab" >&2
exit 127"#;

/// A Jupyter that is about to start.
pub(super) struct Jupyter {
    pub(super) token: String,
    port: u16,
    /// Whether the container has this machine's network.
    on_host: bool,
}

impl Jupyter {
    /// Chooses port and token. `on_host`: the container gets this machine's network, whatever the
    /// spec says.
    ///
    /// # Errors
    /// Where the port that was asked for is taken.
    pub(super) fn new(
        asked: Option<u16>,
        on_host: bool,
        spec: &RunSpec,
    ) -> Result<Self, StartError> {
        let port = match asked {
            Some(port) => free(port).ok_or(StartError::PortTaken { port })?,
            None => free(PORT)
                .or_else(|| free(0))
                .ok_or(StartError::NoFreePort)?,
        };
        let is_host = |value: &Value| matches!(value, Value::Text(text) if text == "host");
        Ok(Self {
            token: hex::encode(random()?),
            port,
            on_host: on_host || spec.options.all("network").any(is_host),
        })
    }

    pub(super) fn command(&self) -> Vec<String> {
        // Inside its own network it must be reached from outside of that; the port is published on
        // loopback only.
        let (address, port) = if self.on_host {
            ("127.0.0.1", self.port)
        } else {
            ("0.0.0.0", PORT)
        };
        let words = ["/bin/sh", "-c", SCRIPT, address, &port.to_string()];
        words.map(str::to_owned).to_vec()
    }

    pub(super) fn options(&self) -> Options {
        let mut options = Options::default();
        options.add("env", TOKEN);
        if !self.on_host {
            options.add("publish", &format!("127.0.0.1:{}:{PORT}", self.port));
        }
        options
    }

    /// Where a browser finds it.
    pub(super) fn address(&self) -> String {
        format!("http://127.0.0.1:{}/?token={}", self.port, self.token)
    }
}

/// The port, if nothing has it now; 0 finds one.
fn free(port: u16) -> Option<u16> {
    let listener = TcpListener::bind(("127.0.0.1", port)).ok()?;
    Some(listener.local_addr().ok()?.port())
}

fn random() -> Result<[u8; 24], StartError> {
    let mut bytes = [0; 24];
    let mut file = std::fs::File::open("/dev/urandom").map_err(StartError::Random)?;
    std::io::Read::read_exact(&mut file, &mut bytes).map_err(StartError::Random)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_not_given_away() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(Jupyter::new(Some(port), false, &RunSpec::default()).is_err());
        let jupyter = Jupyter::new(None, false, &RunSpec::default()).unwrap();
        let shown: Vec<_> = jupyter
            .options()
            .iter()
            .map(|s| s.value.to_string())
            .collect();
        assert_eq!(shown[0], TOKEN);
        assert!(shown[1].starts_with("127.0.0.1:") && shown[1].ends_with(":8888"));
        assert_eq!(jupyter.token.len(), 48);
        assert!(
            jupyter
                .command()
                .iter()
                .all(|word| !word.contains(&jupyter.token))
        );
    }
}
