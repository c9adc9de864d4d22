//! The line as it is written: words, what isn't in them, and what several flags decide together.

use super::{RunaiCli, Workload, quantity};
use crate::runtime::options::Setting;
use crate::runtime::render::{LeftOut, Rendered};

/// A line in the making.
pub(super) struct Line {
    pub(super) cli: RunaiCli,
    pub(super) workload: Workload,
    pub(super) words: Vec<String>,
    pub(super) entrypoint: Option<String>,
    /// When the image is pulled, in Kubernetes' words.
    pub(super) pull: Option<&'static str>,
    pub(super) groups: Vec<u32>,
    /// How many folders in memory there are: each has a name.
    pub(super) in_memory: usize,
    /// Microseconds of the processors in each period, and the period.
    pub(super) cpu_quota: Option<i64>,
    pub(super) cpu_period: Option<i64>,
    left_out: Vec<LeftOut>,
}

impl Line {
    pub(super) fn new(cli: RunaiCli, workload: Workload) -> Self {
        Self {
            cli,
            workload,
            words: cli
                .command(workload)
                .split(' ')
                .map(str::to_owned)
                .collect(),
            entrypoint: None,
            pull: None,
            groups: Vec::new(),
            in_memory: 0,
            cpu_quota: None,
            cpu_period: None,
            left_out: Vec::new(),
        }
    }

    /// The word that this tool has for something.
    pub(super) fn pick<'a>(&self, submit: &'a str, training: &'a str) -> &'a str {
        match self.cli {
            RunaiCli::Submit => submit,
            RunaiCli::TrainingSubmit => training,
        }
    }

    /// Whether it is the newer tool's command for MPI, which has fewer flags.
    pub(super) fn is_mpi_training(&self) -> bool {
        self.cli == RunaiCli::TrainingSubmit && self.workload == Workload::Mpi
    }

    pub(super) fn add(&mut self, flag: &str, value: &str) {
        self.words.extend([flag.to_owned(), value.to_owned()]);
    }

    pub(super) fn switch(&mut self, flag: &str) {
        if !self.words.iter().any(|word| word == flag) {
            self.words.push(flag.to_owned());
        }
    }

    pub(super) fn leave_out(&mut self, setting: &Setting, why: impl Into<String>) {
        self.left_out.push(LeftOut {
            what: setting.word(),
            why: why.into(),
        });
    }

    /// Says what is other than asked, of a flag that stands in the line.
    pub(super) fn note(&mut self, setting: &Setting, why: &str) {
        self.leave_out(setting, why);
    }

    pub(super) fn no_such_flag(&mut self, setting: &Setting) {
        let why = format!("{} has no such flag", self.cli.command(self.workload));
        self.leave_out(setting, why);
    }

    /// A size as docker reads it.
    pub(super) fn size(&mut self, setting: &Setting, flag: &str, text: &str) {
        match quantity::bytes(text).filter(|bytes| *bytes > 0) {
            Some(bytes) => self.add(flag, &quantity::of_bytes(bytes).0),
            None => self.leave_out(setting, "no limit is what Run:ai has without a word"),
        }
    }

    /// A number of processors, with three digits after the point at most: never none at all.
    pub(super) fn cores(&mut self, flag: &str, cores: f64) {
        let cores = (cores * 1000.0).round().max(1.0) / 1000.0;
        self.add(flag, &cores.to_string());
    }

    /// The words, with what the flags together say, and the command.
    pub(super) fn finish(mut self, command: &[String]) -> Rendered<Vec<String>> {
        if let Some(policy) = self.pull {
            self.add("--image-pull-policy", policy);
        }
        if !self.groups.is_empty() {
            let groups: Vec<String> = self.groups.iter().map(u32::to_string).collect();
            self.add("--supplemental-groups", &groups.join(","));
        }
        let limit = self.pick("--cpu-limit", "--cpu-core-limit");
        let is_limited = self.words.iter().any(|word| word == limit);
        if let Some(quota) = self.cpu_quota.filter(|quota| *quota > 0 && !is_limited) {
            #[allow(clippy::cast_precision_loss)]
            let cores = quota as f64 / self.cpu_period.unwrap_or(100_000).max(1) as f64;
            self.cores(limit, cores);
        }
        match (self.entrypoint.take(), command.is_empty()) {
            (Some(program), _) => {
                self.words.extend(["--command", "--"].map(str::to_owned));
                self.words.push(program);
            }
            (None, false) => self.words.push("--".to_owned()),
            (None, true) => {}
        }
        self.words.extend(command.iter().cloned());
        Rendered {
            form: self.words,
            left_out: self.left_out,
        }
    }
}
