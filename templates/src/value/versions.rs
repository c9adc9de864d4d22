//! Versions that people write in settings: Python, CUDA, drivers, PyTorch builds.

use super::{InvalidValue, checked_string};

checked_string!(
    /// A Python version as `3.12` (or `3.12.7`, where a base has exactly that).
    PythonVersion,
    check_python_version,
    pattern = r"^3\.[0-9]{1,2}(\.[0-9]{1,2})?$"
);

fn check_python_version(text: &str) -> Result<(), InvalidValue> {
    let parts = numbers(text, 2);
    if (2..=3).contains(&parts) && text.starts_with("3.") {
        return Ok(());
    }
    Err(InvalidValue::new(
        "Python version",
        text,
        "isn't a Python 3 version",
        "write 3.12 (or 3.12.7)",
    ))
}

impl PythonVersion {
    /// The version as `3.MINOR`.
    pub fn minor(&self) -> String {
        let parts: Vec<&str> = self.as_str().split('.').take(2).collect();
        parts.join(".")
    }
}

checked_string!(
    /// A CUDA release or a GPU's compute capability, as `12.8`.
    CudaVersion,
    check_cuda_version,
    pattern = r"^[0-9]{1,2}\.[0-9]$"
);

fn check_cuda_version(text: &str) -> Result<(), InvalidValue> {
    if numbers(text, 2) == 2 {
        return Ok(());
    }
    Err(InvalidValue::new(
        "CUDA version",
        text,
        "isn't MAJOR.MINOR",
        "write 12.8 (nvidia-smi shows the newest that its driver runs)",
    ))
}

checked_string!(
    /// An NVIDIA driver's version, as `535.104.05`.
    DriverVersion,
    check_driver_version,
    pattern = r"^[0-9]{3}(\.[0-9]{1,3}){0,2}$"
);

fn check_driver_version(text: &str) -> Result<(), InvalidValue> {
    if (1..=3).contains(&numbers(text, 3)) {
        return Ok(());
    }
    Err(InvalidValue::new(
        "NVIDIA driver version",
        text,
        "isn't a driver version",
        "write it as nvidia-smi shows it: 535.104.05",
    ))
}

checked_string!(
    /// A build of PyTorch: `index`, `cpu`, `cu126`, `rocm6.4`, `xpu`.
    TorchBackend,
    check_torch_backend,
    pattern = r"^(index|cpu|xpu|cu[0-9]{2,3}|rocm[0-9]\.[0-9](\.[0-9])?)$"
);

fn check_torch_backend(text: &str) -> Result<(), InvalidValue> {
    let digits = |t: &str| (2..=3).contains(&t.len()) && numbers(t, 3) == 1;
    let ok = matches!(text, "index" | "cpu" | "xpu")
        || text.strip_prefix("cu").is_some_and(digits)
        || text
            .strip_prefix("rocm")
            .is_some_and(|t| (2..=3).contains(&numbers(t, 1)));
    if ok {
        return Ok(());
    }
    Err(InvalidValue::new(
        "torch_backend",
        text,
        "isn't a build of PyTorch",
        "write index, cpu, cu126 or rocm6.4",
    ))
}

/// How many dot-separated numbers of at most `digits` digits the text is made of; 0 where it isn't.
fn numbers(text: &str, digits: usize) -> usize {
    let number = |p: &str| (1..=digits).contains(&p.len()) && p.chars().all(|c| c.is_ascii_digit());
    let parts: Vec<&str> = text.split('.').collect();
    if parts.iter().all(|p| number(p)) {
        parts.len()
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_checked() {
        assert_eq!("3.12.7".parse::<PythonVersion>().unwrap().minor(), "3.12");
        for bad in [
            "", "3", "2.7", "3.x", "3.12.1.1", "3.12-dev", "312", "3.123",
        ] {
            assert!(bad.parse::<PythonVersion>().is_err(), "{bad:?}");
        }
        assert!("12.8".parse::<CudaVersion>().is_ok());
        assert!("12".parse::<CudaVersion>().is_err());
        assert!("535.104.05".parse::<DriverVersion>().is_ok());
        assert!("535.x".parse::<DriverVersion>().is_err());
        for good in [
            "index",
            "cpu",
            "cu118",
            "cu126",
            "rocm6.4",
            "rocm7.0.2",
            "xpu",
        ] {
            assert!(good.parse::<TorchBackend>().is_ok(), "{good}");
        }
        for bad in ["", "cuda", "cu", "cu12.6", "rocm", "rocm6", "auto"] {
            assert!(bad.parse::<TorchBackend>().is_err(), "{bad}");
        }
    }
}
