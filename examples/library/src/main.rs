//! A service in small that makes images with mlbuild as a library: it plans a project's image, pins
//! its packages, builds and pushes it, and proves that it can be rebuilt to the same digest.
//!
//! ```text
//! cargo run -p mlbuild-example-library -- PROJECT IMAGE [BUILDER]
//! ```
//!
//! The image's name, by digest, is printed on stdout; what happens meanwhile on stderr, by a reporter
//! of the program's own. The exit code is that of the kind of error, as `mlbuild` itself has it.

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use mlbuild::build::BuildError;
use mlbuild::error::{ErrorKind, chain};
use mlbuild::lock::LockingError;
use mlbuild::reporter::{Event, Question, Reporter, StepEvent, StepOutcome};
use mlbuild::settings::BuildRequest;
use mlbuild::verify::VerifyError;
use mlbuild::{build, lock, verify};

/// Why there is no image: in a line, and of which kind.
struct Failure {
    kind: ErrorKind,
    why: String,
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        let (kind, why) = (error.kind(), chain(&error));
        Self { kind, why }
    }
}

impl From<LockingError> for Failure {
    fn from(error: LockingError) -> Self {
        let (kind, why) = (error.kind(), chain(&error));
        Self { kind, why }
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        let (kind, why) = (error.kind(), chain(&error));
        Self { kind, why }
    }
}

/// Writes a line for each step that ends, and answers questions as this service's owner wants it.
#[derive(Default)]
struct Log {
    steps: AtomicUsize,
}

impl Reporter for Log {
    fn event(&self, event: Event) {
        match event {
            Event::Note(text) => eprintln!("note: {text}"),
            Event::Warning(text) => eprintln!("warning: {text}"),
            Event::ProjectFile(finding) => eprintln!("found: {finding}"),
            Event::SecretArgument(name) => {
                eprintln!("warning: the build argument {name} is kept in the image's history");
            }
            Event::Step(StepEvent::Started { number, name }) => eprintln!("step {number}: {name}"),
            Event::Step(StepEvent::Finished {
                number,
                outcome,
                milliseconds,
            }) => {
                self.steps.fetch_add(1, Ordering::Relaxed);
                let how = match outcome {
                    StepOutcome::Cached => "cached".to_owned(),
                    StepOutcome::Failed(why) => format!("failed: {why}"),
                    _ => format!("{milliseconds} ms"),
                };
                eprintln!("step {number}: {how}");
            }
            // Events of later versions, and what only a terminal shows.
            _ => {}
        }
    }

    fn ask(&self, question: &Question) -> Option<bool> {
        // Nobody is there at night: no project reaches out of its folder, no builder is started.
        eprintln!("asked, and answered no: {question:?}");
        Some(false)
    }
}

/// Makes the image, and returns its name by digest.
async fn make(request: &BuildRequest, log: &Log) -> Result<String, Failure> {
    // From the project's files alone: no network, no builder.
    let planned = build::plan(request, log)?;
    eprintln!("{}: {} bases", planned.image, planned.plan.bases.len());

    let pinned = lock::LockRequest {
        image: request.clone(),
        ..lock::LockRequest::default()
    };
    let pinned = lock::run(&pinned, log).await?;
    for (platform, packages) in &pinned.platforms {
        eprintln!("{platform}: {} Python packages pinned", packages.python);
    }

    let built = build::run(request, log).await?;
    let name = built.name().to_owned();

    let proof = verify::VerifyRequest {
        what: Some(name.clone()),
        image: request.clone(),
    };
    let proof = verify::verify(&proof, log).await?;
    match proof.summary() {
        None => eprintln!("rebuilt to the same digest by {}", proof.builder),
        Some(why) => {
            let kind = ErrorKind::Difference;
            return Err(Failure { kind, why });
        }
    }
    Ok(name)
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(project), Some(image)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: mlbuild-example-library PROJECT IMAGE [BUILDER]");
        return ExitCode::from(2);
    };
    let request = BuildRequest {
        project,
        tags: vec![image],
        push: true,
        builder: arguments.next(),
        ..BuildRequest::default()
    };
    let log = Log::default();
    match make(&request, &log).await {
        Ok(name) => {
            eprintln!("{} steps", log.steps.load(Ordering::Relaxed));
            println!("{name}");
            ExitCode::SUCCESS
        }
        Err(Failure { kind, why }) => {
            eprintln!("error: {why}");
            ExitCode::from(kind.exit_code())
        }
    }
}
