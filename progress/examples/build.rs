//! Builds the Dockerfile of a folder with the builder at hand, tells the progress, and explains a
//! failure: `cargo run -p mlbuild-progress --example build -- FOLDER [auto|tty|plain|rawjson|quiet]`.

use std::process::ExitCode;

use mlbuild_buildkit::{
    AuthOptions, DiscoverOptions, Env, LocalSource, Session, SolveError, SolveOptions, discover,
};
use mlbuild_progress::{Progress, ProgressOutput, explain::explain};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let folder = args.next().unwrap_or_else(|| ".".to_owned());
    let mode = args
        .next()
        .unwrap_or_else(|| "auto".to_owned())
        .parse()
        .expect("a progress mode");
    let builder = match discover(&DiscoverOptions::default()).await {
        Ok(builder) => builder,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(3);
        }
    };
    let session = Session::builder()
        .local("context", LocalSource::dir(&folder))
        .local("dockerfile", LocalSource::dir(&folder))
        .auth(AuthOptions::from_env(
            &Env::process(),
            ["docker.io".to_owned()],
        ))
        .build()
        .expect("a readable folder");
    let cancel = CancellationToken::new();
    let canceled = cancel.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            canceled.cancel();
        }
    });
    let (status, progress) = Progress::start(mode, ProgressOutput::stderr());
    let outcome = builder
        .client
        .solve(SolveOptions::default(), session, status, cancel)
        .await;
    let trace = progress.finish().await;
    for warning in &trace.warnings {
        eprintln!("warning: {warning}");
    }
    match outcome {
        Ok(output) => {
            println!("{} steps, {} cached", trace.steps.len(), trace.cached());
            for (name, value) in output.exporter_response {
                println!("{name}={value}");
            }
            ExitCode::SUCCESS
        }
        Err(SolveError::Build(failure)) => {
            eprintln!("error: {}", explain(&failure, &trace));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
