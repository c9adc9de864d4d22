//! TensorFlow and PyTorch: which release will be installed, and whether it fits the Python, the
//! CUDA, the driver and the GPU that are asked for. What doesn't fit is refused with the nearest
//! that does.

use pep440_rs::{Version, VersionSpecifiers};

use super::inputs::Inputs;
use super::{ComposeContext, ComposeError, Warning};
use crate::project::Wanted;
use crate::spec::{Accelerator, ImageSpec, TemplateName};
use crate::tables::{
    Machine, Release, ReleaseTable, cuda, framework_brought_by, pythons_with_wheels, release_table,
};

/// A framework that the image will hold.
#[derive(Debug, Clone)]
pub(super) struct Framework {
    /// `torch`, `tensorflow` or `tensorflow-cpu`.
    pub name: &'static str,
    /// Who asks for it.
    pub wanted: Wanted,
    /// Which of PyTorch's own builds it is, where that is said: `cu118`, `cpu`.
    pub build: Option<String>,
    table: &'static ReleaseTable,
}

pub(super) type Row = (&'static Version, &'static Release);

/// Names the release nearest to the one at hand whose version and CUDA fit.
type NearestWhere<'a> = dyn Fn(&dyn Fn(&Version, &str) -> bool) -> Option<String> + 'a;

/// The frameworks that the inputs ask for or, where they ask for none, the template's own.
pub(super) fn find(spec: &ImageSpec, inputs: &Inputs) -> Vec<Framework> {
    let mut found: Vec<Framework> = ["torch", "tensorflow", "tensorflow-cpu"]
        .into_iter()
        .filter_map(|name| Framework::new(name, inputs.installed(name)?.clone(), inputs))
        .collect();
    let default = match spec.template {
        TemplateName::Pytorch => "torch",
        TemplateName::Tensorflow => "tensorflow",
        _ => return found,
    };
    let has = found.iter().any(|f| f.name.starts_with(default));
    if !has && !inputs.locked {
        // Which release a pinned package asks for isn't known here.
        let pinned = inputs.decided.iter().find(|wanted| {
            framework_brought_by(&wanted.name) == Some(default)
                && wanted.versions.as_ref().is_none_or(|v| !v.is_empty())
        });
        let by = pinned.map(|by| format!(", for {} ({})", by.name, by.origin));
        let wanted = Wanted {
            name: default.into(),
            extras: Vec::new(),
            versions: pinned.is_none().then(pep440_rs::VersionSpecifiers::empty),
            is_wheel: false,
            origin: format!("the {} template{}", spec.template, by.unwrap_or_default()),
        };
        found.extend(Framework::new(default, wanted, inputs));
    }
    found
}

impl Framework {
    fn new(name: &'static str, wanted: Wanted, inputs: &Inputs) -> Option<Self> {
        let build = wanted.versions.as_ref().and_then(build_of);
        let of_index = inputs.torch_build.clone().or(inputs.torch_index.clone());
        let of_index = of_index.filter(|_| name == "torch");
        Some(Self {
            name,
            wanted,
            build: build.or(of_index),
            table: release_table(name)?,
        })
    }

    /// Whether nothing but the template asks for it.
    pub fn is_default(&self) -> bool {
        self.wanted.origin.starts_with("the ")
    }

    /// The releases that will do, oldest first.
    fn releases(&self, context: &ComposeContext) -> Vec<Row> {
        let Some(versions) = &self.wanted.versions else {
            return Vec::new();
        };
        let versions = public(versions);
        self.table
            .on(context.machine)
            .filter(|(version, _)| versions.contains(version))
            .collect()
    }

    /// The release that will be installed: the newest that will do. `None` for releases that the
    /// table doesn't know, and where it comes from a URL.
    pub fn release(&self, context: &ComposeContext, python: Option<&str>) -> Option<Row> {
        let mut rows = self.releases(context).into_iter().rev();
        rows.find(|(_, release)| python.is_none_or(|p| has_python(release, p)))
    }

    /// The CUDA that a release brings: that of the build, where one is named.
    pub fn cuda(&self, (version, release): Row) -> Option<String> {
        let inside = || {
            cuda()
                .inside_old_torch(version)
                .filter(|_| self.name == "torch")
        };
        match self.build.as_deref() {
            None => release.cuda_version().or(inside().map(str::to_owned)),
            Some(build) => build
                .strip_prefix("cu")
                .filter(|d| d.len() > 2 && d.bytes().all(|b| b.is_ascii_digit()))
                .map(|digits| {
                    let (major, minor) = digits.split_at(digits.len() - 1);
                    format!("{major}.{minor}")
                }),
        }
    }

    /// What is said of a release that the tables don't know, where something depends on it.
    pub fn unchecked(
        &self,
        spec: &ImageSpec,
        context: &ComposeContext,
        accelerator: Accelerator,
        from_index: bool,
    ) -> Option<Warning> {
        let target = &spec.target;
        let asked = spec.cuda.is_some()
            || target.nvidia_driver.is_some()
            || target.compute_capability.is_some();
        let is_table_s = self.wanted.versions.is_some() && !self.releases(context).is_empty();
        if accelerator != Accelerator::Cuda
            || (self.is_default() && self.wanted.versions.is_some())
            || (is_table_s && from_index)
        {
            return None;
        }
        if !asked && from_index && self.wanted.versions.is_none() {
            return None;
        }
        let rows: Vec<&Version> = self.table.on(context.machine).map(|row| row.0).collect();
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return None;
        };
        Some(Warning {
            message: format!(
                "can't check which CUDA{} {} fits: mlbuild's tables have {} {first} to {last} from the package index",
                // Its wheels may be known though its CUDA isn't.
                match &self.wanted.versions {
                    Some(versions)
                        if pythons_with_wheels(self.name, &public(versions)).is_some() =>
                    {
                        " and driver"
                    }
                    _ => ", driver and Python",
                },
                self.asked(),
                self.name
            ),
            hint: Some("compare its release notes with the machine's driver (nvidia-smi)".into()),
        })
    }

    /// Whether some release that will do has wheels for a Python version, as far as is known.
    pub fn runs_on(&self, context: &ComposeContext, python: &str) -> bool {
        let rows = self.releases(context);
        rows.is_empty() || rows.iter().any(|(_, release)| has_python(release, python))
    }

    /// The Python versions that some release that will do has wheels for, newest first.
    pub fn pythons(&self, context: &ComposeContext) -> Vec<String> {
        let rows = self.releases(context);
        let mut all: Vec<String> = rows.iter().flat_map(|(_, r)| r.python.clone()).collect();
        all.sort_by_key(|p| std::cmp::Reverse(minor(p)));
        all.dedup();
        all
    }

    /// Refuses a Python version that no release that will do has wheels for.
    pub fn check_python(
        &self,
        context: &ComposeContext,
        python: &str,
        whose: &str,
    ) -> Result<(), ComposeError> {
        if self.runs_on(context, python) {
            return Ok(());
        }
        let mut pythons = self.pythons(context);
        pythons.reverse();
        let asked = self.asked();
        let others = self
            .table
            .on(context.machine)
            .filter(|(_, release)| has_python(release, python));
        let nearest = nearest(
            self.releases(context).last().map(|row| row.0),
            others.map(|row| row.0),
        );
        let or = nearest.map(|v| {
            format!(
                ", or {} {v}, the nearest with wheels for {python}",
                self.name
            )
        });
        Err(ComposeError::conflict(
            format!(
                "{asked} has no wheels for Python {python}{whose}, only for {}",
                pythons.join(", ")
            ),
            format!(
                "ask for Python {}{}",
                pythons.last().map_or("3.12", |p| p),
                or.unwrap_or_default()
            ),
        ))
    }

    /// How it is asked for, with the place.
    pub fn asked(&self) -> String {
        let versions = self
            .wanted
            .versions
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        format!(
            "{}{} ({})",
            self.name,
            versions.replace(' ', ""),
            self.wanted.origin
        )
    }

    /// Refuses what the release's CUDA can't do: another CUDA, an older driver, a newer GPU.
    pub fn check_cuda(
        &self,
        spec: &ImageSpec,
        context: &ComposeContext,
        row: Row,
    ) -> Result<(), ComposeError> {
        let version = row.0;
        let Some(built) = self.cuda(row) else {
            return Ok(());
        };
        let nearest_where = |fits: &dyn Fn(&Version, &str) -> bool| {
            let rows = self.table.on(context.machine);
            let rows = rows.filter(|(v, r)| r.cuda_version().is_some_and(|cuda| fits(v, &cuda)));
            nearest(Some(version), rows.map(|row| row.0)).map(|v| format!("{} {v}", self.name))
        };
        self.check_cuda_release(spec, version, &built, &nearest_where)?;
        self.check_driver(spec, version, &built, &nearest_where)?;
        self.check_capability(spec, version, &built, &nearest_where)
    }

    /// Refuses a release that is built for another CUDA than the one that is asked for.
    fn check_cuda_release(
        &self,
        spec: &ImageSpec,
        version: &Version,
        built: &str,
        nearest_where: &NearestWhere<'_>,
    ) -> Result<(), ComposeError> {
        let Some(asked) = &spec.cuda else {
            return Ok(());
        };
        if spec.template == TemplateName::Cuda || asked.as_str() == built {
            return Ok(());
        }
        let name = self.name;
        let near = nearest_where(&|_, cuda| cuda == asked.as_str());
        let own = (name == "torch").then(|| {
            let backend = asked.as_str().replace('.', "");
            format!(
                "take {name} {version} from PyTorch's own index (torch_backend = \"cu{backend}\")"
            )
        });
        let choices: Vec<String> = near
            .map(|n| format!("ask for {n}"))
            .into_iter()
            .chain(own)
            .chain([format!("leave out cuda = \"{asked}\"")])
            .collect();
        Err(ComposeError::conflict(
            format!(
                "{name} {version} ({}) is built for CUDA {built}, not {asked}",
                self.wanted.origin
            ),
            choices.join(", or "),
        ))
    }

    /// Refuses a release whose CUDA needs a newer driver than the target's.
    fn check_driver(
        &self,
        spec: &ImageSpec,
        version: &Version,
        built: &str,
        nearest_where: &NearestWhere<'_>,
    ) -> Result<(), ComposeError> {
        let Some(driver) = &spec.target.nvidia_driver else {
            return Ok(());
        };
        let runs = |cuda_version: &str| cuda().is_run_by(cuda_version, driver);
        if runs(built) {
            return Ok(());
        }
        let oldest = cuda()
            .oldest_driver(built)
            .map(ToString::to_string)
            .unwrap_or_default();
        let near = nearest_where(&|_, cuda| runs(cuda));
        Err(ComposeError::conflict(
            format!(
                "{} {version} ({}) needs CUDA {built} and with it driver {oldest} or newer, not {driver}",
                self.name, self.wanted.origin
            ),
            near.map_or("update the driver".into(), |n| {
                format!("ask for {n}, the nearest that the driver runs, or update the driver")
            }),
        ))
    }

    /// Refuses a release of PyTorch without code for the target's GPU.
    fn check_capability(
        &self,
        spec: &ImageSpec,
        version: &Version,
        built: &str,
        nearest_where: &NearestWhere<'_>,
    ) -> Result<(), ComposeError> {
        let Some(capability) = &spec.target.compute_capability else {
            return Ok(());
        };
        if self.name != "torch" {
            return Ok(());
        }
        let has: Version = capability
            .as_str()
            .parse()
            .expect("checked when it was made");
        let number = |text: &str| text.parse::<Version>().expect("MAJOR.MINOR");
        let Some((torch, floor)) = cuda().floor_of_capability(&has) else {
            return Ok(());
        };
        if version >= torch && number(built) >= *floor {
            return Ok(());
        }
        let near = nearest_where(&|v, cuda| v >= torch && number(cuda) >= *floor);
        let near = near.unwrap_or(format!("torch {torch} with CUDA {floor}"));
        Err(ComposeError::conflict(
            format!(
                "torch {version} ({}) with CUDA {built} has no code for GPUs of compute capability {capability}",
                self.wanted.origin
            ),
            format!("ask for {near} or newer"),
        ))
    }

    /// Whether every version that is asked for is older than those that the tables have.
    fn is_before_the_tables(&self) -> bool {
        use pep440_rs::Operator::{Equal, EqualStar, LessThan, LessThanEqual, TildeEqual};
        let versions = self.wanted.versions.iter().flat_map(|v| v.iter());
        let mut bounds = versions.filter(|v| {
            matches!(
                v.operator(),
                Equal | EqualStar | LessThan | LessThanEqual | TildeEqual
            )
        });
        let first = self.table.on(Machine::X86_64).map(|row| row.0).next();
        bounds.any(|bound| first.is_some_and(|first| bound.version() < first))
    }

    /// The requirement to add so that it computes on the accelerator, if the inputs don't say so.
    pub fn addition(&self, accelerator: Accelerator, release: Option<Row>) -> Vec<String> {
        let bring_cuda = accelerator == Accelerator::Cuda
            && self.name == "tensorflow"
            && !self.wanted.extras.iter().any(|e| e == "and-cuda")
            && release.map_or(!self.is_before_the_tables(), |(_, r)| r.cuda.is_some());
        match (self.is_default(), accelerator) {
            _ if bring_cuda => vec!["tensorflow[and-cuda]".into()],
            (true, Accelerator::Off) if self.name == "tensorflow" => vec![
                // The CPU-only wheels are a third of the size; only x86_64 has them.
                "tensorflow-cpu; platform_machine == 'x86_64'".into(),
                "tensorflow; platform_machine != 'x86_64'".into(),
            ],
            (true, _) => vec![self.name.into()],
            (false, _) => Vec::new(),
        }
    }
}

/// The build that a version names: `cu118` of `==2.1.0+cu118`.
fn build_of(versions: &VersionSpecifiers) -> Option<String> {
    let text = versions.to_string();
    let build = text.split_once('+')?.1;
    Some(build.split(',').next().unwrap_or(build).trim().to_owned())
}

/// The same without builds: the tables have releases.
pub(super) fn public(versions: &VersionSpecifiers) -> VersionSpecifiers {
    let text = versions.to_string();
    let parts = text
        .split(',')
        .map(|part| part.split('+').next().unwrap_or(part));
    let plain = parts.collect::<Vec<_>>().join(",");
    plain.parse().unwrap_or_else(|_| versions.clone())
}

fn has_python(release: &Release, python: &str) -> bool {
    release.python.iter().any(|p| p == python)
}

/// The number that sorts `3.9` before `3.10`.
pub(super) fn minor(python: &str) -> u32 {
    python
        .split('.')
        .nth(1)
        .and_then(|m| m.parse().ok())
        .unwrap_or(0)
}

/// The version nearest to another in a list that is sorted from old to new: the next newer one,
/// else the newest of the older ones.
fn nearest<'v>(
    to: Option<&Version>,
    among: impl Iterator<Item = &'v Version>,
) -> Option<&'v Version> {
    let among: Vec<&Version> = among.collect();
    let newer = to.and_then(|to| among.iter().find(|v| **v > to));
    newer.or(among.last()).copied()
}
