//! Builds a folder with a builder: `build URL FOLDER [EXPORTER [KEY=VALUE…]]`,
//! where URL may be `-` to find one. Writes to `dest=…` where an exporter
//! needs a place. Prints the image's digest.

use std::collections::BTreeMap;

use mlbuild_buildkit::{
    AuthOptions, ConnectOptions, DiscoverOptions, Env, Export, ExportTarget, LocalSource, Session,
    SolveOptions, StatusResponse, TlsOptions, context_key, discover,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(url), Some(folder)) = (args.next(), args.next()) else {
        return Err("usage: build URL FOLDER [EXPORTER [KEY=VALUE…]]".into());
    };
    let exporter = args.next();
    let mut attrs: BTreeMap<String, String> = args
        .filter_map(|a| a.split_once('=').map(|(k, v)| (k.into(), v.into())))
        .collect();

    let found = discover(&DiscoverOptions {
        builder: (url != "-").then_some(url),
        connect: ConnectOptions {
            tls: std::env::var_os("TLS_DIR").map(|dir| TlsOptions::from_dir(dir.as_ref())),
            ..Default::default()
        },
    })
    .await?;
    let info = found.client.info().await?;
    eprintln!("{} ({}): {info}", found.endpoint, found.how);

    let session = Session::builder()
        .local("context", LocalSource::dir(&folder))
        .local("dockerfile", LocalSource::dir(&folder))
        .auth(AuthOptions::from_env(&Env::process()))
        .shared_key(context_key(folder.as_ref()))
        .build()?;
    let exports = exporter.map(|kind| Export {
        output: attrs.remove("dest").map(|dest| match kind.as_str() {
            "local" => ExportTarget::Dir(dest.into()),
            "oci" if dest.ends_with('/') => ExportTarget::Dir(dest.into()),
            _ => ExportTarget::File(dest.into()),
        }),
        kind,
        attrs,
    });
    let options = SolveOptions {
        exports: exports.into_iter().collect(),
        ..Default::default()
    };

    let cancel = CancellationToken::new();
    let on_interrupt = cancel.clone();
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        on_interrupt.cancel();
    });
    let (sender, mut receiver) = mpsc::channel::<StatusResponse>(64);
    let progress = tokio::spawn(async move {
        while let Some(message) = receiver.recv().await {
            for vertex in message.vertexes.iter().filter(|v| v.completed.is_some()) {
                let cached = if vertex.cached { " (cached)" } else { "" };
                eprintln!("{}{cached} {}", vertex.name, vertex.error);
            }
            for log in message.logs {
                eprint!("{}", String::from_utf8_lossy(&log.msg));
            }
        }
    });
    let output = found.client.solve(options, session, sender, cancel).await;
    progress.await?;
    let output = output?;
    for (key, value) in &output.exporter_response {
        eprintln!("{key}: {value}");
    }
    if let Some(descriptor) = output.descriptor {
        println!("{}", descriptor.digest());
    }
    Ok(())
}
