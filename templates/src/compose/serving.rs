//! A TensorFlow Serving image: the model server's own base with a saved model in the layout it
//! expects, `/models/NAME/VERSION/saved_model.pb`, gRPC on 8500 and REST on 8501.

use std::path::Path;

use super::decide::{Decision, accelerator_env};
use super::inputs::Inputs;
use super::{
    ComposeContext, ComposeError, Composer, Composition, PackageRequest, Warning, env_name,
};
use crate::dockerfile::{Copy, Instruction, Word};
use crate::spec::{Accelerator, ImageSpec, Installer, ServingSpec};
use crate::tables::bases;
use crate::value::{BaseImage, ModelName, Port};

pub(super) fn compose(
    spec: &ImageSpec,
    serving: &ServingSpec,
    inputs: &Inputs,
    context: &ComposeContext,
    warnings: Vec<Warning>,
) -> Result<Composition, ComposeError> {
    if !inputs.is_empty() {
        return Err(ComposeError::conflict(
            "a serving image holds the model server alone, but Python packages are asked for",
            "leave the packages out, or describe an image of your own without [image.serve]",
        ));
    }
    let accelerator = match spec.gpu {
        None | Some(Accelerator::Off) => Accelerator::Off,
        Some(Accelerator::Auto) => context.host_accelerator.unwrap_or(Accelerator::Cuda),
        Some(given) => given,
    };
    let base = base(spec, accelerator)?;
    let name = model_name(serving)?;
    let versioned = match context.project {
        Some(project) => is_versioned(project, serving)?,
        None => false,
    };
    let destination = if versioned {
        format!("/models/{name}/")
    } else {
        format!("/models/{name}/1/")
    };

    let mut composer = Composer::new(spec, context);
    composer.open(&base);
    composer.begin_image();
    composer
        .file
        .section("The model, under its name and version.");
    composer.file.push(Instruction::Copy(Copy {
        sources: vec![format!("{}/", serving.model.as_str().trim_end_matches('/')).into()],
        destination: destination.into(),
        ..Copy::default()
    }));
    composer.file.push(Instruction::Env(vec![
        (env_name("MODEL_BASE_PATH"), Word::from("/models")),
        (env_name("MODEL_NAME"), Word::literal(name.as_str())),
    ]));
    let env = accelerator_env(spec, accelerator);
    composer.environment(&env, false)?;
    composer.user_layer(&[]);
    let mut ports = vec![Port::tcp(8500), Port::tcp(8501)];
    ports.extend(spec.ports.iter().copied());
    ports.sort();
    ports.dedup();
    composer.close(&ports);
    let decision = Decision {
        compiled: super::compiled::Compiled::default(),
        notes: Vec::new(),
        base,
        accelerator,
        environment: None,
        python: None,
        installer: Installer::Auto,
        additions: Vec::new(),
        torch_backend: None,
        apt: Default::default(),
        env,
        cuda: None,
        needed_by: None,
    };
    composer.finish(decision, PackageRequest::default(), warnings)
}

/// The image that serves: the one that is asked for, else TensorFlow Serving's own.
fn base(spec: &ImageSpec, accelerator: Accelerator) -> Result<BaseImage, ComposeError> {
    match (&spec.base, bases().serving(accelerator)) {
        (Some(base), _) => Ok(base.clone()),
        (None, Some(text)) => Ok(text.parse().expect("the table is checked")),
        (None, None) => Err(ComposeError::conflict(
            format!("no TensorFlow Serving image is known for gpu = \"{accelerator}\""),
            "use cuda or off, or name a base yourself",
        )),
    }
}

/// The model's name: the one that is asked for, else its folder's.
fn model_name(serving: &ServingSpec) -> Result<ModelName, ComposeError> {
    if let Some(name) = &serving.name {
        return Ok(name.clone());
    }
    let folder = serving.model.split().1;
    folder.parse().map_err(|_| {
        ComposeError::conflict(
            format!("the folder name {folder:?} can't be a model's name"),
            "give the model a name: name = \"...\" under [image.serve]",
        )
    })
}

/// Whether the model's folder holds one folder per version rather than one saved model.
fn is_versioned(project: &Path, serving: &ServingSpec) -> Result<bool, ComposeError> {
    let model = project.join(serving.model.as_str());
    let is_model = |folder: &Path| {
        ["saved_model.pb", "saved_model.pbtxt"]
            .iter()
            .any(|f| folder.join(f).is_file())
    };
    if is_model(&model) {
        return Ok(false);
    }
    let entries = std::fs::read_dir(&model).into_iter().flatten().flatten();
    let mut versions = entries.filter(|entry| {
        let name = entry.file_name();
        let number = name
            .to_str()
            .is_some_and(|n| !n.is_empty() && n.chars().all(|c| c.is_ascii_digit()));
        number && is_model(&entry.path())
    });
    if versions.next().is_some() {
        return Ok(true);
    }
    Err(ComposeError::conflict(
        format!("{} holds no saved model", serving.model),
        "name the folder that tf.saved_model.save (or model.export) wrote: it has a saved_model.pb, or numbered folders that do",
    ))
}
