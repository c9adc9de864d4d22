//! The flags of `mlbuild image` as the library's request.

use mlbuild_progress::ProgressMode;
use mlbuild_templates::{Accelerator, Installer};

use crate::support::image_args::{BuildArgs, EngineArg, GpuArg, ImageArgs, LockArgs, UpgradeArg};
use mlbuild::settings::{BuildRequest, EndpointTls, LockMode, Upgrade};

impl From<UpgradeArg> for Upgrade {
    fn from(arg: UpgradeArg) -> Self {
        match arg {
            UpgradeArg::All => Self::All,
            UpgradeArg::Base => Self::Base,
            UpgradeArg::Apt => Self::Apt,
            UpgradeArg::Python => Self::Python,
        }
    }
}

impl From<GpuArg> for Accelerator {
    fn from(arg: GpuArg) -> Self {
        match arg {
            GpuArg::Auto => Self::Auto,
            GpuArg::Cuda => Self::Cuda,
            GpuArg::Rocm => Self::Rocm,
            GpuArg::Off => Self::Off,
        }
    }
}

impl ImageArgs {
    /// What is asked of the library.
    pub fn request(&self) -> BuildRequest {
        let (what, how, place, pins) = (&self.compose, &self.build, &self.output, &self.lock);
        BuildRequest {
            project: self.context.clone(),
            variant: what.variant.clone(),
            template: what.template.clone(),
            file: what.file.clone(),
            base: what.base.clone(),
            cuda: what.cuda.clone(),
            nvidia_driver: what.nvidia_driver.clone(),
            compute_capability: what.compute_capability.clone(),
            launch_config: what.launch_config.clone(),
            uid: what.uid.clone(),
            gid: what.gid.clone(),
            user: what.user.clone(),
            sudo: what.sudo,
            python: what.python.clone(),
            requirements: what.requirements.clone(),
            extras: what.extras.clone(),
            groups: what.groups.clone(),
            packages: what.packages.clone(),
            conda: what.conda.then_some(true),
            apt: what.apt.clone(),
            run: what.run.clone(),
            env: what.env.clone(),
            path: what.path.clone(),
            ports: what.ports.clone(),
            gui: what.gui,
            serve: what.serve.clone(),
            workdir: what.workdir.clone(),
            no_code: what.no_code,
            strict: what.strict,
            always_compose: what.write,
            no_host_network_settings: what.no_host_network_settings,
            gpu: what.gpu.map(Accelerator::from),
            installer: what.installer.map(Installer::from),
            trust: how.trust,
            method: how.method.map(Into::into),
            builder: how.builder.clone(),
            build_args: how.build_args.clone(),
            target: how.target.clone(),
            labels: how.labels.clone(),
            annotations: how.annotations.clone(),
            network: how.network.clone(),
            allow: how.allow.clone(),
            add_hosts: how.add_hosts.clone(),
            cache_from: how.cache_from.clone(),
            cache_to: how.cache_to.clone(),
            no_cache: how.no_cache,
            no_cache_filter: how.no_cache_filter.clone(),
            pull: how.pull,
            secrets: how.secrets.clone(),
            ssh: how.ssh.clone(),
            build_contexts: how.build_contexts.clone(),
            shm_size: how.shm_size.clone(),
            ulimits: how.ulimits.clone(),
            attests: how.attests.clone(),
            provenance: how.provenance.clone(),
            sbom: how.sbom.clone(),
            base_registries: (!how.base_registries.is_empty()).then(|| how.base_registries.clone()),
            source_policy_file: how.source_policy_file.clone(),
            platforms: how.platform.clone(),
            start_builder: how.engine.map(|when| when == EngineArg::Auto),
            tls: how.tls(),
            tags: place.tags.clone(),
            push: place.push,
            load: place.load,
            outputs: place.outputs.clone(),
            repack: place.repack.clone(),
            insecure_registries: place.insecure_registries.clone(),
            no_lock: pins.no_lock,
            run_id: pins.run_id.clone(),
            no_skip: pins.no_skip,
            lock_file: Some(pins.lock_file.clone()),
            lock_mode: pins.mode(),
            upgrade: pins.upgrade.iter().map(|&what| what.into()).collect(),
        }
    }

    /// How progress is shown.
    pub fn progress(&self) -> ProgressMode {
        match self.build.progress {
            _ if self.build.quiet => ProgressMode::Quiet,
            Some(style) => style.into(),
            None => ProgressMode::Auto,
        }
    }
}

impl BuildArgs {
    fn tls(&self) -> EndpointTls {
        EndpointTls {
            ca: self.tlscacert.clone(),
            cert: self.tlscert.clone(),
            key: self.tlskey.clone(),
            server_name: self.tlsservername.clone(),
        }
    }
}

impl LockArgs {
    fn mode(&self) -> LockMode {
        if self.frozen {
            LockMode::Frozen
        } else if self.locked {
            LockMode::Locked
        } else {
            LockMode::Free
        }
    }
}
