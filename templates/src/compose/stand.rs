//! The base that an image stands on: what the user names, else what the tables say for the
//! accelerator and the frameworks.

use super::frameworks::{Framework, minor};
use super::inputs::Inputs;
use super::misfits::misfits;
use super::{ComposeContext, ComposeError, Warning};
use crate::project::manifests::Asked;
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
    /// The package that it was chosen for, since it looks for CUDA there: name and place.
    pub needed_by: Option<String>,
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
                needed_by: None,
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
        // PyTorch's own builds for ROCm bring its libraries, as those for CUDA do.
        let brings_rocm = super::gpus::rocm_build(frameworks).is_some();
        if accelerator == Accelerator::Rocm
            && !brings_rocm
            && let Some(framework) = frameworks.iter().find(|f| f.name != "tensorflow-cpu")
        {
            return amd(framework, asked.as_deref());
        }
        if accelerator == Accelerator::Cuda
            && let Some((release, needed_by)) = nvidia_cuda(spec, context, inputs, frameworks)
        {
            let stand = nvidia(&release, spec, asked.as_deref())?;
            return Ok(Self { needed_by, ..stand });
        }
        let python = match asked {
            Some(python) => python,
            None => common_python(context, inputs, frameworks)?,
        };
        let of_wheels = match accelerator == Accelerator::Rocm && brings_rocm {
            true => Accelerator::Off,
            false => accelerator,
        };
        let text = table
            .template(spec.template, of_wheels)
            .expect("looked up above");
        if text.contains("{python}") {
            has_image(&python)?;
        }
        let image = text
            .replace("{python}", &python)
            .replace("{debian}", table.debian(&python))
            .replace("{cuda}", &table.cuda);
        Ok(Self {
            image: image.parse().expect("the table is checked"),
            python: text.contains("{python}").then_some(python),
            whose: None,
            cuda: None,
            needed_by: None,
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
    // Those that will do, and of them the one for which the most packages have wheels.
    let all = PYTHONS.map(str::to_owned);
    let fitting: Vec<&String> = std::iter::once(default).chain(&all).filter(fits).collect();
    let missed = |python: &&&String| misfits(inputs, python).len();
    let best = fitting.iter().min_by_key(missed);
    // What a project that isn't installed says of itself holds as far as no package loses its wheels by it.
    let of_project = inputs.python_beside.as_ref().and_then(|wish| {
        let mut fitting: Vec<&&String> = fitting.iter().collect();
        fitting.retain(|python| allows(&wish.text, python));
        fitting.into_iter().min_by_key(missed)
    });
    let of_project = of_project.filter(|python| best.is_some_and(|b| missed(python) <= missed(&b)));
    if let Some(python) = of_project.or(best) {
        return Ok((*python).clone());
    }
    Err(no_python(frameworks, wish))
}

/// That no Python will do: none that a base has, or none that the packages have wheels for.
fn no_python(frameworks: &[Framework], wish: Option<&Asked>) -> ComposeError {
    let (oldest, newest) = bases().pythons();
    let is_had = wish.is_none_or(|wish| PYTHONS.iter().any(|python| allows(&wish.text, python)));
    let has_3 = |wish: &Asked| (0..=20).any(|minor| allows(&wish.text, &format!("3.{minor}")));
    let old = wish.filter(|wish| allows(&wish.text, "2.7") && !has_3(wish));
    if let Some(wish) = old {
        return ComposeError::conflict(
            format!(
                "{} says Python {}: the project is for Python 2 alone, of which no base has packages any more",
                wish.origin, wish.text
            ),
            "convert it to Python 3 (2to3), or write a Dockerfile of your own, FROM python:2.7-slim",
        );
    }
    if let Some(wish) = wish.filter(|_| !is_had) {
        return ComposeError::conflict(
            format!(
                "no Python that a base has is Python {} ({})",
                wish.text, wish.origin
            ),
            format!(
                "the bases that are known have Python {oldest} to {newest}: widen what {} says, or name a base that has it: base = \"…\" under [image]",
                wish.origin
            ),
        );
    }
    let mut asked: Vec<String> = frameworks.iter().map(Framework::asked).collect();
    asked.extend(wish.map(|wish| format!("Python {} ({})", wish.text, wish.origin)));
    ComposeError::conflict(
        format!(
            "no Python version has wheels for all of {}",
            asked.join(" and ")
        ),
        "ask for releases of about the same time, or for one Python: python = \"3.12\" under [image]",
    )
}

/// Refuses a Python that is older than every official image on which packages can be installed.
fn has_image(python: &str) -> Result<(), ComposeError> {
    let (oldest, newest) = bases().pythons();
    if minor(python) >= minor(oldest) {
        return Ok(());
    }
    Err(ComposeError::conflict(
        format!("no base is known that has Python {python}, only Python {oldest} to {newest}"),
        format!(
            "ask for one of these: python = \"{oldest}\" under [image], or name a base that has it: base = \"…\""
        ),
    ))
}

/// That nobody here knows whether there is an official image of a Python that is newer than the tables.
pub(super) fn unknown_image(stand: &Stand) -> Option<Warning> {
    let (_, newest) = bases().pythons();
    let python = stand.python.as_deref().filter(|_| stand.whose.is_none())?;
    let is_official = stand.image.as_str().starts_with("python:");
    (is_official && minor(python) > minor(newest)).then(|| Warning {
        message: format!(
            "whether there is an image {} isn't known: mlbuild's tables have Python up to {newest}",
            stand.image
        ),
        hint: Some(format!(
            "where there is none, ask for python = \"{newest}\" under [image]"
        )),
    })
}

/// That a base with a Python of its own has another than the project asks for.
pub(super) fn another_python(spec: &ImageSpec, stand: &Stand, inputs: &Inputs) -> Option<Warning> {
    let wish = inputs
        .python
        .as_ref()
        .filter(|_| spec.python.version.is_none())?;
    let (python, _) = (stand.python.as_deref()?, stand.whose.as_deref()?);
    let mut rows = cuda().bases().iter().rev();
    let other = rows.find(|row| allows(&wish.text, &row.python));
    (!allows(&wish.text, python)).then(|| Warning {
        message: format!(
            "{} asks for Python {}, and {} has {python}: that is installed for",
            wish.origin, wish.text, stand.image
        ),
        hint: Some(match other.filter(|_| stand.cuda.is_some()) {
            Some(row) => format!(
                "set cuda = \"{}\" under [image], whose image has Python {}, or python = \"{python}\"",
                row.cuda, row.python
            ),
            None => format!("set python = \"{python}\" under [image], or name a base that has it"),
        }),
    })
}

/// Python versions that bases have, in the order in which they are tried.
const PYTHONS: [&str; 9] = [
    "3.13", "3.12", "3.11", "3.10", "3.9", "3.14", "3.8", "3.7", "3.6",
];

/// The first Python version, in that order, that is among those asked for.
pub(super) fn first_allowed(wish: &str) -> Option<&'static str> {
    PYTHONS.into_iter().find(|python| allows(wish, python))
}

/// Whether some patch release of a Python version is among the versions that are asked for.
pub(super) fn allows(wish: &str, python: &str) -> bool {
    let Ok(versions) = wish.parse::<pep440_rs::VersionSpecifiers>() else {
        return true;
    };
    let patches = (0..=30).map(|patch| format!("{python}.{patch}"));
    patches
        .filter_map(|version| version.parse().ok())
        .any(|version| versions.contains(&version))
}

/// The CUDA release that an NVIDIA base is needed for, if one is, and the package that needs it.
fn nvidia_cuda(
    spec: &ImageSpec,
    context: &ComposeContext,
    inputs: &Inputs,
    frameworks: &[Framework],
) -> Option<(String, Option<String>)> {
    let tensorflow = frameworks.iter().find(|f| f.name == "tensorflow");
    let old = tensorflow.and_then(|f| cuda().for_old_tensorflow(f.release(context, None)?.0));
    let asked = spec.cuda.as_ref().map(|c| c.as_str());
    let named = |name: &str, origin: &str| Some(format!("{name} ({origin})"));
    if let (Some(old), Some(framework)) = (old, tensorflow) {
        let needed_by = named(framework.name, &framework.wanted.origin);
        return Some((asked.unwrap_or(old).to_owned(), needed_by));
    }
    let mut needing = inputs.decided.iter().filter_map(|wanted| {
        let row = cuda().needs_base(&wanted.name, wanted.versions.as_ref())?;
        Some((wanted, row.major.as_deref()))
    });
    let first = needing.next();
    if spec.template != TemplateName::Cuda && first.is_none() {
        return None;
    }
    let needed_by = first.and_then(|(wanted, _)| named(&wanted.name, &wanted.origin));
    // What another index has under the same name may be built for another CUDA.
    let major = first
        .and_then(|(_, major)| major)
        .filter(|_| !inputs.has_index);
    let release = match asked {
        Some(asked) => asked.to_owned(),
        None => fitting_base(spec, context, inputs, frameworks, major),
    };
    Some((release, needed_by))
}

/// The CUDA release of the base that fits best what is known: the major that a package is built for, the Python
/// that is asked for, and the wheels of the packages. The table's own goes first, then newer before older ones.
fn fitting_base(
    spec: &ImageSpec,
    context: &ComposeContext,
    inputs: &Inputs,
    frameworks: &[Framework],
    major: Option<&str>,
) -> String {
    let default = &bases().cuda;
    let asked = spec.python.version.as_ref().map(|v| v.minor());
    let wish = inputs.python.as_ref().or(inputs.python_beside.as_ref());
    let misses = |row: &&CudaBase| {
        let other_major = major.is_some_and(|major| row.cuda.split('.').next() != Some(major));
        let other_python = match &asked {
            Some(asked) => *asked != row.python,
            None => wish.is_some_and(|wish| !allows(&wish.text, &row.python)),
        };
        let without = frameworks
            .iter()
            .filter(|f| !f.runs_on(context, &row.python));
        (
            other_major,
            other_python,
            without.count(),
            misfits(inputs, &row.python).len(),
            row.cuda != *default,
        )
    };
    let newest_first = cuda().bases().iter().rev();
    newest_first
        .min_by_key(misses)
        .map_or(default.clone(), |row| row.cuda.clone())
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
        needed_by: None,
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
        needed_by: None,
    })
}
