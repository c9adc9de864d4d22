//! Commands of the project's own: `run` of the spec, then those of its manifests.

use super::inputs::Inputs;
use super::python::NETWORK;
use super::{Composer, SecretUse, Warning};
use crate::dockerfile::{CacheMount, Instruction, Mount, Network, Purpose, Run, Script, Sharing};
use crate::spec::{Installer, RunStep, RunWhen};

impl Composer<'_> {
    /// The commands that root runs at a point of the build.
    pub(super) fn run_layers(&mut self, when: RunWhen, inputs: &Inputs) {
        let steps = self.spec.run.iter().chain(&inputs.run);
        let steps: Vec<RunStep> = steps
            .filter(|step| step.when == when && !step.user)
            .cloned()
            .collect();
        self.steps(&steps, "Commands of the project.");
    }

    /// The commands that the image's user runs, after everything else.
    pub(super) fn user_run_layers(&mut self, inputs: &Inputs) {
        let steps = self.spec.run.iter().chain(&inputs.run);
        let steps: Vec<RunStep> = steps.filter(|step| step.user).cloned().collect();
        self.steps(&steps, "Commands of the project, as the image's user.");
    }

    /// What a command of the project's gets of the machine's settings: a log-in only where it asks for it,
    /// which the person was asked about.
    fn secrets_of(&self, step: &RunStep) -> &'static [SecretUse] {
        if step.index || !self.context.index_has_log_in {
            &NETWORK
        } else {
            &[SecretUse::Ca]
        }
    }

    /// Says that commands do without the index, where a log-in is in its settings.
    pub(super) fn without_index(&self, inputs: &Inputs) -> Option<Warning> {
        let mut steps = self.spec.run.iter().chain(&inputs.run);
        let of_index = [SecretUse::PipConf, SecretUse::UvConf];
        let is_there = of_index
            .iter()
            .any(|secret| self.context.secrets.contains(secret));
        let is_left = is_there && steps.any(|step| self.secrets_of(step) != NETWORK);
        is_left.then(|| Warning {
            message: "commands of the project don't get the settings of your package index, in which a log-in is".into(),
            hint: Some("for one that needs them: run = [{ command = \"…\", index = true }] under [image]".into()),
        })
    }

    fn steps(&mut self, steps: &[RunStep], title: &str) {
        if steps.is_empty() {
            return;
        }
        self.file.section(title);
        for step in steps {
            let cache = |folder: &crate::value::ContainerPath| {
                Mount::Cache(CacheMount {
                    id: None,
                    target: folder.to_string(),
                    sharing: Sharing::Locked,
                })
            };
            let mut mounts: Vec<Mount> = step.cache.iter().map(cache).collect();
            // An installer or a download of these commands meets the same index, proxy and CA as the
            // image's own installation.
            let mut settings = Script::default();
            let secrets = self.secrets_of(step);
            self.network_settings(Installer::Auto, secrets, &mut mounts, &mut settings);
            if step.user {
                mounts.iter_mut().for_each(Mount::readable_by_all);
            }
            self.file.push(Instruction::Run(Run {
                mounts,
                network: Network::Default,
                script: settings.then_command(&step.command),
                purpose: Purpose::Other,
            }));
        }
    }
}
