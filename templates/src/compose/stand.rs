//! The base that an image stands on: what the user names, else what the tables say for the
//! accelerator and the frameworks.

use super::frameworks::Framework;
use super::inputs::Inputs;
use super::{ComposeContext, ComposeError};
use crate::spec::{Accelerator, ImageSpec, TemplateName};
use crate::tables::{CudaBase, RocmImage, bases, cuda, rocm};
use crate::value::BaseImage;

/// The base and what is known of it.
pub(super) struct Stand {
    pub image: BaseImage,
    /// Its Python, as far as it is known.
    pub python: Option<String>,
    /// Whose Python that is, for messages.
    pub whose: Option<String>,
    /// The CUDA release that it has, as far as it is known.
    pub cuda: Option<String>,
}

impl Stand {
    pub fn choose(
        spec: &ImageSpec,
        context: &ComposeContext,
        inputs: &Inputs,
        accelerator: Accelerator,
        frameworks: &[Framework],
    ) -> Result<Self, ComposeError> {
        let asked = spec.python.version.as_ref().map(|v| v.minor());
        let given = spec
            .base
            .as_ref()
            .or_else(|| context.accelerator_bases.get(&accelerator));
        if let Some(image) = given {
            return Ok(Self {
                image: image.clone(),
                python: asked,
                whose: None,
                cuda: None,
            });
        }
        let table = bases();
        if table.template(spec.template, accelerator).is_none() {
            let known: Vec<String> = table
                .accelerators(spec.template)
                .map(|a| a.to_string())
                .collect();
            return Err(ComposeError::conflict(
                format!(
                    "the {} template has no base for gpu = \"{accelerator}\", only for {}",
                    spec.template,
                    known.join(", ")
                ),
                "name a base yourself, or use the python template",
            ));
        }
        if accelerator == Accelerator::Rocm
            && let Some(framework) = frameworks.iter().find(|f| f.name != "tensorflow-cpu")
        {
            return amd(framework, asked.as_deref());
        }
        if accelerator == Accelerator::Cuda
            && let Some(release) = nvidia_cuda(spec, context, inputs, frameworks)
        {
            return nvidia(&release, spec, asked.as_deref());
        }
        let python = match asked {
            Some(python) => python,
            None => common_python(context, inputs, frameworks)?,
        };
        let text = table
            .template(spec.template, accelerator)
            .expect("looked up above");
        let image = text
            .replace("{python}", &python)
            .replace("{cuda}", &table.cuda);
        Ok(Self {
            image: image.parse().expect("the table is checked"),
            python: text.contains("{python}").then_some(python),
            whose: None,
            cuda: None,
        })
    }
}

/// The Python that the project is for and all frameworks have wheels for: the table's own where it
/// will do, else the newest.
fn common_python(
    context: &ComposeContext,
    inputs: &Inputs,
    frameworks: &[Framework],
) -> Result<String, ComposeError> {
    let default = &bases().python;
    let wish = inputs.python.as_ref();
    let is_for = |python: &str| wish.is_none_or(|wish| allows(&wish.text, python));
    let fits =
        |python: &&String| is_for(python) && frameworks.iter().all(|f| f.runs_on(context, python));
    if fits(&default) {
        return Ok(default.clone());
    }
    let known = frameworks.iter().find(|f| !f.runs_on(context, default));
    let of_frameworks = known.map(|f| f.pythons(context));
    let candidates = of_frameworks.unwrap_or_else(|| PYTHONS.map(str::to_owned).into());
    if let Some(python) = candidates.iter().find(fits) {
        return Ok(python.clone());
    }
    let mut asked: Vec<String> = frameworks.iter().map(Framework::asked).collect();
    asked.extend(wish.map(|wish| format!("Python {} ({})", wish.text, wish.origin)));
    let what = if frameworks.is_empty() {
        format!("no Python that a base has is {}", asked.join(" and "))
    } else {
        format!(
            "no Python version has wheels for all of {}",
            asked.join(" and ")
        )
    };
    Err(ComposeError::conflict(
        what,
        "ask for releases of about the same time, or for one Python: --python 3.12",
    ))
}

/// Python versions that bases have, in the order in which they are tried.
const PYTHONS: [&str; 7] = ["3.13", "3.12", "3.11", "3.10", "3.9", "3.14", "3.8"];

/// Whether some patch release of a Python version is among the versions that are asked for.
fn allows(wish: &str, python: &str) -> bool {
    let Ok(versions) = wish.parse::<pep440_rs::VersionSpecifiers>() else {
        return true;
    };
    let patches = (0..=30).map(|patch| format!("{python}.{patch}"));
    patches
        .filter_map(|version| version.parse().ok())
        .any(|version| versions.contains(&version))
}

/// The CUDA release that an NVIDIA base is needed for, if one is.
fn nvidia_cuda(
    spec: &ImageSpec,
    context: &ComposeContext,
    inputs: &Inputs,
    frameworks: &[Framework],
) -> Option<String> {
    let tensorflow = frameworks.iter().find(|f| f.name == "tensorflow");
    let old = tensorflow.and_then(|f| cuda().for_old_tensorflow(f.release(context, None)?.0));
    let needed = spec.template == TemplateName::Cuda
        || inputs.wanted.iter().any(|w| cuda().needs_base(&w.name));
    let asked = spec.cuda.as_ref().map(|c| c.as_str());
    match old {
        Some(old) => Some(asked.unwrap_or(old).to_owned()),
        None if needed => Some(asked.unwrap_or(&bases().cuda).to_owned()),
        None => None,
    }
}

fn nvidia(release: &str, spec: &ImageSpec, python: Option<&str>) -> Result<Stand, ComposeError> {
    let rows = cuda().bases();
    let number = |text: &str| {
        text.parse::<pep440_rs::Version>()
            .expect("checked when it was made")
    };
    let Some(row) = rows.iter().find(|row| row.cuda == release) else {
        let nearest = rows
            .iter()
            .find(|row| number(&row.cuda) > number(release))
            .or(rows.last());
        return Err(ComposeError::conflict(
            format!("no NVIDIA image is known for CUDA {release}"),
            format!(
                "the nearest is {}; or name one: base = \"nvidia/cuda:...\"",
                nearest.map_or("", |row| &row.cuda)
            ),
        ));
    };
    if let Some(python) = python
        && python != row.python
    {
        let other = rows.iter().rev().find(|row| row.python == python);
        let or =
            other.map(|row: &CudaBase| format!(", or cuda = \"{}\" for Python {python}", row.cuda));
        return Err(ComposeError::conflict(
            format!(
                "NVIDIA's image for CUDA {release} has Python {}, not {python}",
                row.python
            ),
            format!("ask for Python {}{}", row.python, or.unwrap_or_default()),
        ));
    }
    if let Some(driver) = &spec.target.nvidia_driver
        && let Some(oldest) = cuda().oldest_driver(release)
        && !cuda().is_run_by(release, driver)
    {
        let runs = |row: &&CudaBase| cuda().is_run_by(&row.cuda, driver);
        let nearest = rows.iter().rev().find(runs);
        return Err(ComposeError::conflict(
            format!("CUDA {release} needs driver {oldest} or newer, not {driver}"),
            nearest.map_or("update the driver".into(), |row| {
                format!(
                    "ask for cuda = \"{}\", the nearest that it runs, or update the driver",
                    row.cuda
                )
            }),
        ));
    }
    let text = bases()
        .template(TemplateName::Cuda, Accelerator::Cuda)
        .expect("the table has it");
    let image = text.replace("{cuda}", &row.tag);
    Ok(Stand {
        whose: Some(format!(", which {image} has")),
        image: image.parse().expect("the table is checked"),
        python: Some(row.python.clone()),
        cuda: Some(row.cuda.clone()),
    })
}

/// AMD's image with the framework in it.
fn amd(framework: &Framework, python: Option<&str>) -> Result<Stand, ComposeError> {
    let rows: Vec<&RocmImage> = rocm()
        .iter()
        .filter(|row| row.framework == framework.name)
        .collect();
    let fits = |row: &&&RocmImage| {
        framework
            .wanted
            .versions
            .as_ref()
            .is_some_and(|v| v.contains(&row.version))
            && python.is_none_or(|p| p == row.python)
    };
    let Some(row) = rows.iter().find(fits) else {
        let known: Vec<String> = rows
            .iter()
            .map(|row| format!("{} (Python {})", row.version, row.python))
            .collect();
        let python = python
            .map(|p| format!(" and Python {p}"))
            .unwrap_or_default();
        return Err(ComposeError::conflict(
            format!("no AMD image is known for {}{python}", framework.asked()),
            format!(
                "those known hold {} {}; or name one: base = \"rocm/...\"",
                framework.name,
                known.join(", ")
            ),
        ));
    };
    Ok(Stand {
        image: row.image.parse().expect("the table is checked"),
        python: Some(row.python.clone()),
        whose: Some(format!(", which {} has", row.image)),
        cuda: None,
    })
}
