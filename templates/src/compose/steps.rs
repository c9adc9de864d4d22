//! Commands of the project's own: `run` of the spec, then those of its manifests.

use super::Composer;
use super::inputs::Inputs;
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
            self.network_settings(Installer::Auto, &mut mounts, &mut settings);
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
