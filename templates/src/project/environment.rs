//! The Python and the machine that an image is for: what markers are judged by.

use pep508_rs::{MarkerEnvironment, MarkerEnvironmentBuilder};

use crate::tables::{Machine, bases};

/// CPython on Linux, of one version, on one machine type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePython {
    /// The version, as `3.12` or `3.12.7`.
    pub version: String,
    /// The machine type.
    pub machine: Machine,
}

impl Default for ImagePython {
    fn default() -> Self {
        Self {
            version: bases().python.clone(),
            machine: Machine::default(),
        }
    }
}

impl ImagePython {
    /// The environment that markers (PEP 508) are judged in.
    pub fn markers(&self) -> MarkerEnvironment {
        let parts: Vec<&str> = self.version.split('.').collect();
        let minor = parts.iter().take(2).copied().collect::<Vec<_>>().join(".");
        let full = match parts.len() {
            2 => format!("{minor}.0"),
            _ => self.version.clone(),
        };
        MarkerEnvironment::try_from(MarkerEnvironmentBuilder {
            implementation_name: "cpython",
            implementation_version: &full,
            os_name: "posix",
            platform_machine: match self.machine {
                Machine::X86_64 => "x86_64",
                Machine::Aarch64 => "aarch64",
            },
            platform_python_implementation: "CPython",
            platform_release: "",
            platform_system: "Linux",
            platform_version: "",
            python_full_version: &full,
            python_version: &minor,
            sys_platform: "linux",
        })
        .expect("a plain environment")
    }
}
