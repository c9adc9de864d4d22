//! Each rule against what real builders, package managers and programs wrote. Index host names are
//! replaced by `index.example`; long lines are cut where no rule looks.

use std::collections::BTreeSet;

use mlbuild_buildkit::BuildFailure;
use mlbuild_progress::{BuildTrace, explain::explain};

use super::*;

/// Rule, last lines of the log, the builder's message.
const REAL: &[(&str, &str, &str)] = &[
    (
        "no-space",
        "dd: error writing '/small/x': No space left on device\n2+0 records in\n1+0 records out",
        "process \"/bin/sh -c dd if=/dev/zero of=/small/x bs=1M count=4\" did not complete successfully: exit code: 1",
    ),
    (
        "out-of-memory",
        "Killed",
        "process \"/bin/sh -c sh -c 'kill -9 $$'\" did not complete successfully: exit code: 137",
    ),
    (
        "ca-file-missing",
        "ERROR: Could not install packages due to an OSError: Could not find a suitable TLS CA certificate bundle, invalid path: /etc/ssl/certs/ca-certificates.crt",
        "process \"/bin/sh -c pip install six\" did not complete successfully: exit code: 1",
    ),
    (
        "tls-unknown-ca",
        "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection broken by 'SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate in certificate chain (_ssl.c:992)'))': /simple/six/\nERROR: Could not find a version that satisfies the requirement six (from versions: none)\nERROR: No matching distribution found for six",
        "process \"/bin/sh -c pip install six\" did not complete successfully: exit code: 1",
    ),
    (
        "tls-unknown-ca",
        "error: Failed to fetch: `https://index.example/simple/six/`\n  cause: client error (Connect)\n  cause: invalid peer certificate: UnknownIssuer\n\nhint: Consider enabling use of system TLS certificates with the `--system-certs` command-line flag",
        "process \"/bin/sh -c uv pip install --system six\" did not complete successfully: exit code: 2",
    ),
    (
        "syntax-frontend",
        "",
        "failed to resolve source metadata for docker.io/docker/dockerfile:1: failed to do request: Head \"https://registry-1.docker.io/v2/docker/dockerfile/manifests/1\": dial tcp: lookup registry-1.docker.io on 192.0.2.53:53: no such host",
    ),
    (
        "dns",
        "Err:1 http://no-such-host.invalid/debian bookworm InRelease\n  Could not resolve 'no-such-host.invalid'\nE: Unable to locate package git",
        "process \"/bin/sh -c apt-get update && apt-get install -y git\" did not complete successfully: exit code: 100",
    ),
    (
        "dns",
        "",
        "registry.no-such-host.invalid/x:1: failed to resolve source metadata for registry.no-such-host.invalid/x:1: failed to do request: Head \"https://registry.no-such-host.invalid/v2/x/manifests/1\": dial tcp: lookup registry.no-such-host.invalid on 192.0.2.53:53: no such host",
    ),
    (
        "dns",
        "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection broken by 'NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object at 0x7ff5834abfd0>: Failed to establish a new connection: [Errno -2] Name or service not known')': /simple/six/\nERROR: No matching distribution found for six",
        "process \"/bin/sh -c pip install six\" did not complete successfully: exit code: 1",
    ),
    (
        "registry-rate-limit",
        "",
        "docker.io/library/debian:12: failed to resolve source metadata for docker.io/library/debian:12: failed to copy: httpReadSeeker: failed open: unexpected status code https://registry-1.docker.io/v2/library/debian/manifests/sha256:00: 429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit.",
    ),
    (
        "push-unauthorized",
        "",
        "failed to push 127.0.0.1:27785/private:1: unexpected status from HEAD request to http://127.0.0.1:27785/v2/private/blobs/sha256:dd1f7d04906e76efbd345ef3380be93f226045f6476e8f83b311348b1d0780f8: 401 Unauthorized",
    ),
    (
        "base-unauthorized",
        "",
        "127.0.0.1:27785/private:1.0: failed to resolve source metadata for 127.0.0.1:27785/private:1.0: unexpected status from HEAD request to http://127.0.0.1:27785/v2/private/manifests/1.0: 401 Unauthorized",
    ),
    (
        "base-not-found",
        "",
        "failed to create LLB definition: 127.0.0.1:23139/no/such:1: not found",
    ),
    (
        "base-not-found",
        "",
        "127.0.0.1:23139/nosuch:1.0: failed to resolve source metadata for 127.0.0.1:23139/nosuch:1.0: 127.0.0.1:23139/nosuch:1.0: not found",
    ),
    (
        "base-platform",
        "",
        "failed to solve: no match for platform in manifest sha256:00: not found",
    ),
    (
        "registry-is-http",
        "",
        "failed to do request: Head \"https://10.0.0.5:5000/v2/app/manifests/1\": http: server gave HTTP response to HTTPS client",
    ),
    (
        "connection-refused",
        "",
        "127.0.0.1:9/x:1: failed to resolve source metadata for 127.0.0.1:9/x:1: failed to do request: Head \"https://127.0.0.1:9/v2/x/manifests/1\": dial tcp 127.0.0.1:9: connect: connection refused",
    ),
    (
        "network-unreachable",
        "WARNING: Retrying (Retry(total=4, connect=None, read=None, redirect=None, status=None)) after connection broken by 'NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object at 0x7f1>: Failed to establish a new connection: [Errno 101] Network is unreachable')': /simple/six/\nERROR: No matching distribution found for six",
        "process \"/bin/sh -c pip install six\" did not complete successfully: exit code: 1",
    ),
    (
        "index-unreachable",
        "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection broken by 'ProtocolError('Connection aborted.', ConnectionResetError(104, 'Connection reset by peer'))': /simple/uv/\nERROR: Could not find a version that satisfies the requirement uv==0.13.9 (from versions: none)\nERROR: No matching distribution found for uv==0.13.9",
        "exit code: 1",
    ),
    (
        "index-unreachable",
        "error: Failed to fetch: `https://index.example/simple/six/`\n  cause: error sending request for url (https://index.example/simple/six/)\n  cause: connection closed before message completed",
        "exit code: 2",
    ),
    (
        "index-unreachable",
        "error: Failed to fetch: `https://index.example/simple/six/`\n  cause: HTTP status server error (503 Service Unavailable) for url (https://index.example/simple/six/)",
        "exit code: 2",
    ),
    (
        "cuda-driver-too-old",
        "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.9, please update your driver to a newer version, or use an earlier cuda container: unknown",
        "",
    ),
    (
        "cuda-driver-too-old",
        "RuntimeError: CUDA error: CUDA driver version is insufficient for CUDA runtime version",
        "",
    ),
    (
        "cuda-no-kernel",
        "nvcc fatal   : Unsupported gpu architecture 'compute_100'",
        "exit code: 1",
    ),
    (
        "cuda-no-kernel",
        "RuntimeError: CUDA error: no kernel image is available for execution on the device",
        "",
    ),
    (
        "cudnn-mismatch",
        "E tensorflow/stream_executor/cuda/cuda_dnn.cc:363] Loaded runtime CuDNN library: 8.0.5 but source was compiled with: 8.1.0.  CuDNN library needs to have matching major version and equal or higher minor version.",
        "",
    ),
    (
        "cuda-version-mismatch",
        "RuntimeError:\nThe detected CUDA version (11.8) mismatches the version that was used to compile\nPyTorch (12.4). Please make sure to use the same CUDA versions.",
        "exit code: 1",
    ),
    (
        "cuda-home",
        "OSError: CUDA_HOME environment variable is not set. Please set it to your CUDA install root.",
        "exit code: 1",
    ),
    (
        "no-gpu-in-build",
        "    self._handle = _dlopen(self._name, mode)\nOSError: libcuda.so.1: cannot open shared object file: No such file or directory",
        "exit code: 1",
    ),
    (
        "no-gpu-in-build",
        "/bin/sh: 1: nvidia-smi: not found",
        "process \"/bin/sh -c nvidia-smi\" did not complete successfully: exit code: 127",
    ),
    (
        "pip-externally-managed",
        "error: externally-managed-environment\n\n× This environment is externally managed\n╰─> The Python environment under /usr is managed externally, and may not be\n    manipulated by the user.",
        "process \"/bin/sh -c pip install six\" did not complete successfully: exit code: 1",
    ),
    (
        "pip-hash",
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated the package versions, please update the hashes. Otherwise, examine the package contents carefully; someone may have tampered with them.\n    six==1.16.0 from https://index.example/packages/six-1.16.0-py2.py3-none-any.whl (from -r r.txt (line 1)):\n        Expected sha256 0000000000000000000000000000000000000000000000000000000000000000\n             Got        8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254",
        "exit code: 1",
    ),
    (
        "pip-hash",
        "error: Failed to download `six==1.16.0`\n  cause: Hash mismatch for `six==1.16.0`\n\n         Expected:\n           sha256:0000000000000000000000000000000000000000000000000000000000000000",
        "exit code: 1",
    ),
    (
        "pip-wheel-python",
        "error: No solution found when resolving dependencies\n  cause: Because tensorflow==2.4.0 has no wheels with a matching Python ABI tag (e.g., `cp311`) and you require tensorflow==2.4.0, we can conclude that your requirements are unsatisfiable.\n\nhint: You require CPython 3.11 (`cp311`), but we only found wheels for `tensorflow` (v2.4.0) with the following Python ABI tags: `cp36m`, `cp37m`, `cp38`",
        "exit code: 1",
    ),
    (
        "pip-no-package",
        "ERROR: Could not find a version that satisfies the requirement nump-nonexistent-xyz (from versions: none)\nERROR: No matching distribution found for nump-nonexistent-xyz",
        "process \"/bin/sh -c pip install nump-nonexistent-xyz\" did not complete successfully: exit code: 1",
    ),
    (
        "pip-no-package",
        "error: No solution found when resolving dependencies\n  cause: Because nump-nonexistent-xyz was not found in the package registry and you require nump-nonexistent-xyz, we can conclude that your requirements are unsatisfiable.",
        "exit code: 1",
    ),
    (
        "pip-no-version",
        "ERROR: Ignored the following versions that require a different python version: 1.21.2 Requires-Python >=3.7,<3.11\nERROR: Could not find a version that satisfies the requirement numpy==99.0 (from versions: 1.3.0, 1.4.1, 2.3.4, 2.3.5)\nERROR: No matching distribution found for numpy==99.0",
        "process \"/bin/sh -c pip install numpy==99.0\" did not complete successfully: exit code: 1",
    ),
    (
        "pip-no-version",
        "error: No solution found when resolving dependencies\n  cause: Because there is no version of numpy==99.0 and you require numpy==99.0, we can conclude that your requirements are unsatisfiable.",
        "exit code: 1",
    ),
    (
        "pip-conflict",
        "ERROR: Cannot install pandas==2.2.0 and numpy==1.20.0 because these package versions have conflicting dependencies.\nERROR: ResolutionImpossible: for help visit https://pip.pypa.io/en/latest/topics/dependency-resolution/",
        "exit code: 1",
    ),
    (
        "pip-requirements-missing",
        "ERROR: Could not open requirements file: [Errno 2] No such file or directory: 'requirements-dev.txt'",
        "process \"/bin/sh -c pip install -r requirements-dev.txt\" did not complete successfully: exit code: 1",
    ),
    (
        "python-header-missing",
        "/s/x.c:1:10: fatal error: Python.h: No such file or directory",
        "exit code: 1",
    ),
    (
        "compiler-missing",
        "      building 'x' extension\n      error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory\n      [end of output]\n\nerror: legacy-install-failure",
        "exit code: 1",
    ),
    (
        "header-missing",
        "  src/_portaudio.c:29:10: fatal error: portaudio.h: No such file or directory\n     29 | #include \"portaudio.h\"\n  compilation terminated.\n  error: command '/usr/bin/x86_64-linux-gnu-gcc' failed with exit code 1",
        "process \"/bin/sh -c pip wheel PyAudio\" did not complete successfully: exit code: 1",
    ),
    (
        "development-files-missing",
        "           Building lxml version 4.6.3.\n           Building without Cython.\n           Error: Please make sure the libxml2 and libxslt development packages are installed.",
        "process \"/bin/sh -c uv pip install lxml==4.6.3\" did not complete successfully: exit code: 1",
    ),
    (
        "build-program-missing",
        "  FileNotFoundError: [Errno 2] No such file or directory: 'git'\n  [end of output]\n\nerror: metadata-generation-failed",
        "process \"/bin/sh -c pip wheel flash-attn==2.5.6\" did not complete successfully: exit code: 1",
    ),
    (
        "compiler-missing",
        "     error: [Errno 2] No such file or directory: 'x86_64-linux-gnu-g++'\n\nhint: Build failures usually indicate a problem with the package or the build environment",
        "process \"/bin/sh -c uv pip install fairseq==0.12.2\" did not complete successfully: exit code: 1",
    ),
    (
        "git-missing",
        "  ERROR: Error [Errno 2] No such file or directory: 'git' while executing command git version\nERROR: Cannot find command 'git' - do you have 'git' installed and in your PATH?",
        "exit code: 1",
    ),
    (
        "library-missing-gui",
        "    return _bootstrap._gcd_import(name[level:], package, level)\nImportError: libxcb.so.1: cannot open shared object file: No such file or directory",
        "process \"/bin/sh -c python3 -c 'import cv2'\" did not complete successfully: exit code: 1",
    ),
    (
        "library-missing",
        "ImportError: libgomp.so.1: cannot open shared object file: No such file or directory",
        "exit code: 1",
    ),
    (
        "pkg-resources-gone",
        "ModuleNotFoundError: No module named 'pkg_resources'\n\nhint: This error likely indicates that `lap@0.4.0` depends on `pkg_resources`, but doesn't declare it as a build dependency.",
        "exit code: 1",
    ),
    (
        "pkg-resources-gone",
        "  ModuleNotFoundError: No module named 'pkg_resources'\n  [end of output]\n\nERROR: Failed to build 'mmcv' when getting requirements to build wheel",
        "exit code: 1",
    ),
    (
        "pkg-resources-gone",
        "  ModuleNotFoundError: No module named 'pkg_resources'\n  [end of output]\n\n× Getting requirements to build wheel did not run successfully.",
        "exit code: 1",
    ),
    (
        "numpy-distutils",
        "ModuleNotFoundError: No module named 'distutils.msvccompiler'\n\nhint: This error likely indicates that `lap@0.4.0` depends on `distutils.msvccompiler`, but doesn't declare it as a build dependency.",
        "exit code: 1",
    ),
    (
        "build-dependency-missing",
        "ModuleNotFoundError: No module named 'Cython'\n\nhint: This error likely indicates that `cython-bbox@0.1.3` depends on `Cython`, but doesn't declare it as a build dependency.",
        "exit code: 1",
    ),
    (
        "build-dependency-missing",
        "  ModuleNotFoundError: No module named 'torch'\n  [end of output]\n\nERROR: Failed to build 'torch-scatter' when getting requirements to build wheel",
        "exit code: 1",
    ),
    (
        "module-missing",
        "Traceback (most recent call last):\n  File \"<string>\", line 1, in <module>\nModuleNotFoundError: No module named 'numpy'",
        "process \"/bin/sh -c python3 -c 'import numpy'\" did not complete successfully: exit code: 1",
    ),
    (
        "apt-lock-permission",
        "E: Could not open lock file /var/lib/apt/lists/lock - open (13: Permission denied)\nE: Unable to lock directory /var/lib/apt/lists/",
        "process \"/bin/sh -c apt-get update\" did not complete successfully: exit code: 100",
    ),
    (
        "apt-expired",
        "E: Release file for file:/r/dists/s/Release is expired (invalid since 1786d 1h 12min 25s). Updates for this repository will not be applied.",
        "exit code: 100",
    ),
    (
        "apt-hash",
        "E: Failed to fetch file:/r/dists/s/main/binary-amd64/Packages  Hash Sum mismatch\n   Hashes of expected file:\n    - Filesize:11 [weak]",
        "exit code: 100",
    ),
    (
        "apt-no-package",
        "Reading state information...\nE: Unable to locate package libgl1-mesa-glxx",
        "process \"/bin/sh -c apt-get update && apt-get install -y libgl1-mesa-glxx\" did not complete successfully: exit code: 100",
    ),
    (
        "apt-no-package",
        "E: Package 'python2' has no installation candidate",
        "exit code: 100",
    ),
    (
        "apt-no-version",
        "However the following packages replace it:\n  bash-doc\n\nE: Version '99' for 'bash' was not found",
        "process \"/bin/sh -c apt-get install -y bash=99\" did not complete successfully: exit code: 100",
    ),
    (
        "copy-source-missing",
        "",
        "failed to compute cache key: \"/data.bin\" not found: not found",
    ),
    (
        "copy-source-missing",
        "",
        "failed to compute cache key: failed to calculate checksum of ref a3p6sqwg7gm9fkuoemx6lqo5c::v6yo2jk9otiv1rd479660kifl: \"/data.bin\": not found",
    ),
    (
        "copy-from-missing",
        "",
        "failed to compute cache key: failed to calculate checksum of ref a3p6sqwg7gm9fkuoemx6lqo5c::hwae3ks2jq7h25w1zvt1f4wa2: failed to walk /var/lib/containerd/tmp/buildkit-mount163322221/no/such: lstat /var/lib/containerd/tmp/buildkit-mount163322221/no/such: no such file or directory",
    ),
    (
        "dockerfile-instruction",
        "",
        "dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)",
    ),
    (
        "dockerfile-missing",
        "",
        "failed to read dockerfile: open Missing: no such file or directory",
    ),
    (
        "target-missing",
        "",
        "target stage \"nope\" could not be found",
    ),
    ("secret-missing", "", "secret nope: not found"),
    (
        "entitlement",
        "",
        "granting entitlement network.host is not allowed by build daemon configuration",
    ),
    (
        "exec-format",
        "exec /usr/bin/x: exec format error",
        "process \"/usr/bin/x\" did not complete successfully: exit code: 1",
    ),
    (
        "command-not-found",
        "/bin/sh: 1: uvx: not found",
        "process \"/bin/sh -c uvx ruff\" did not complete successfully: exit code: 127",
    ),
    (
        "command-not-found",
        "/bin/bash: line 1: uvx: command not found",
        "process \"/bin/bash -c uvx ruff\" did not complete successfully: exit code: 127",
    ),
    (
        "command-not-found",
        "runc run failed: unable to start container process: exec: \"/usr/bin/nope\": stat /usr/bin/nope: no such file or directory",
        "process \"/usr/bin/nope\" did not complete successfully: exit code: 1",
    ),
    (
        "not-executable",
        "/bin/sh: 1: /run.sh: Permission denied",
        "process \"/bin/sh -c /run.sh\" did not complete successfully: exit code: 126",
    ),
    (
        "permission",
        "mkdir: cannot create directory ‘/opt/x’: Permission denied",
        "process \"/bin/sh -c mkdir /opt/x\" did not complete successfully: exit code: 1",
    ),
];

#[test]
fn real_messages_are_recognised() {
    for (id, log, message) in REAL {
        let hint =
            hint(log, message).unwrap_or_else(|| panic!("{id}: nothing recognised in {log}"));
        assert_eq!(hint.id, *id, "{log}\n{message}\n{hint:?}");
        assert!(!hint.next.is_empty(), "{hint:?}");
        assert!(
            !hint.cause.contains("${") && !hint.cause.contains("``"),
            "{hint:?}"
        );
        assert!(!hint.next.iter().any(|n| n.contains("${")), "{hint:?}");
    }
}

#[test]
fn every_rule_has_a_real_message() {
    let tested: BTreeSet<_> = REAL.iter().map(|(id, ..)| *id).collect();
    let missing: Vec<_> = RULES
        .iter()
        .map(|r| r.id)
        .filter(|id| !tested.contains(id))
        .collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn ordinary_failures_have_no_hint() {
    for log in [
        "",
        "make: *** [Makefile:3: all] Error 1",
        "FAILED tests/test_a.py::test_b - assert 1 == 2",
        "AssertionError",
    ] {
        assert_eq!(
            hint(
                log,
                "process \"/bin/sh -c make\" did not complete successfully: exit code: 2"
            ),
            None
        );
    }
}

#[test]
fn hints_name_what_the_user_named() {
    let all: Vec<String> = REAL
        .iter()
        .filter(|(id, ..)| !matches!(*id, "no-space" | "out-of-memory"))
        .filter_map(|(_, log, message)| hint(log, message))
        .map(|h| format!("{}\n  {}", h.cause, h.next.join("\n  ")))
        .collect();
    insta::assert_snapshot!(all.join("\n\n"), @r#"
    the CA bundle `/etc/ssl/certs/ca-certificates.crt` that pip was told to use isn't in the image
      mlbuild image --apt ca-certificates …
      mlbuild doctor    # shows the CA bundle that RUN steps get

    the server's certificate is signed by a CA that isn't trusted here: often a company's TLS proxy
      SSL_CERT_FILE=/path/to/ca-bundle.crt mlbuild image …    # RUN steps get the host's bundle
      mlbuild doctor    # shows the CA bundle that RUN steps get

    the server's certificate is signed by a CA that isn't trusted here: often a company's TLS proxy
      SSL_CERT_FILE=/path/to/ca-bundle.crt mlbuild image …    # RUN steps get the host's bundle
      mlbuild doctor    # shows the CA bundle that RUN steps get

    the `# syntax=` line makes the builder fetch its Dockerfile reader from a registry, and that failed
      sed -i '/^# *syntax=/d' Dockerfile    # the builder has one built in

    a host name can't be resolved from the build: no-such-host.invalid
      getent hosts no-such-host.invalid    # on the builder's machine
      mlbuild doctor    # shows the proxies and package indexes that RUN steps get
      mlbuild image --network=host --allow network.host …    # where only the host's network resolves it

    a host name can't be resolved from the build: registry.no-such-host.invalid
      getent hosts registry.no-such-host.invalid    # on the builder's machine
      mlbuild doctor    # shows the proxies and package indexes that RUN steps get
      mlbuild image --network=host --allow network.host …    # where only the host's network resolves it

    a host name can't be resolved from the build
      mlbuild doctor    # shows the proxies and package indexes that RUN steps get
      mlbuild image --network=host --allow network.host …    # where only the host's network resolves it

    the registry refuses more pulls for now
      docker login    # logged-in users may pull more
      mlbuild image --base MIRROR/IMAGE …

    the registry doesn't let you push 127.0.0.1:27785/private:1
      docker login 127.0.0.1:27785

    the registry doesn't let you pull 127.0.0.1:27785/private:1.0: you aren't logged in, or the image doesn't exist
      docker login 127.0.0.1:27785
      docker buildx imagetools inspect 127.0.0.1:27785/private:1.0

    there is no image 127.0.0.1:23139/no/such:1
      docker buildx imagetools inspect 127.0.0.1:23139/no/such:1
      mlbuild image --base IMAGE …

    there is no image 127.0.0.1:23139/nosuch:1.0
      docker buildx imagetools inspect 127.0.0.1:23139/nosuch:1.0
      mlbuild image --base IMAGE …

    the base image has no variant for the platform asked for
      docker buildx imagetools inspect BASE    # lists its platforms
      mlbuild image --platform linux/amd64 …

    the registry speaks plain HTTP, and the builder expects HTTPS
      mlbuild image --insecure-registry HOST:PORT …    # where mlbuild pushes
      add [registry."HOST:PORT"] http = true to the builder's buildkitd.toml

    nothing answers at 127.0.0.1:9, as seen from the builder
      curl -v http://127.0.0.1:9/v2/    # on the builder's machine
      mlbuild doctor

    the build can't reach the network, or the server doesn't answer
      mlbuild doctor    # shows the proxies and package indexes that RUN steps get
      mlbuild image --network=host --allow network.host …    # where only the host's network gets out

    the package index couldn't be reached, or broke off the connection: ProtocolError
      mlbuild image …    # again: what was installed before this step is kept
      mlbuild doctor    # shows the proxies and package indexes that RUN steps get

    the package index couldn't be reached, or broke off the connection
      mlbuild image …    # again: what was installed before this step is kept
      mlbuild doctor    # shows the proxies and package indexes that RUN steps get

    the package index couldn't be reached, or broke off the connection: 503 Service Unavailable
      mlbuild image …    # again: what was installed before this step is kept
      mlbuild doctor    # shows the proxies and package indexes that RUN steps get

    the image needs a newer NVIDIA driver than this machine has
      nvidia-smi    # shows the driver and the newest CUDA that it runs
      mlbuild image --base IMAGE-WITH-AN-OLDER-CUDA …

    the image needs a newer NVIDIA driver than this machine has
      nvidia-smi    # shows the driver and the newest CUDA that it runs
      mlbuild image --base IMAGE-WITH-AN-OLDER-CUDA …

    the CUDA code wasn't compiled for this GPU, or this CUDA doesn't know it
      nvidia-smi --query-gpu=name,compute_cap --format=csv
      mlbuild image --package 'torch==NEWER' …

    the CUDA code wasn't compiled for this GPU, or this CUDA doesn't know it
      nvidia-smi --query-gpu=name,compute_cap --format=csv
      mlbuild image --package 'torch==NEWER' …

    the framework was built for another cuDNN than the one it found
      mlbuild image --gpu …    # chooses a base that fits the framework
      pip list | grep -i -E 'cudnn|torch|tensorflow'    # inside the image: CUDA from wheels and from the base?

    the base has CUDA 11.8, and PyTorch was built with CUDA 12.4
      mlbuild image --base A-CUDA-12.4-DEVEL-IMAGE …

    something compiles CUDA code, and the base has no CUDA toolkit
      mlbuild image --gpu --base A-CUDA-DEVEL-IMAGE …
      or choose a version of the package that has a wheel

    a build has no GPU and no driver: they come with the container when it runs
      move the command that needs the GPU from RUN to when the container runs
      docker run --gpus=all IMAGE …

    a build has no GPU and no driver: they come with the container when it runs
      move the command that needs the GPU from RUN to when the container runs
      docker run --gpus=all IMAGE …

    this Python belongs to the distribution: packages go into a virtual environment
      python3 -m venv /opt/venv && /opt/venv/bin/pip install …
      mlbuild image --requirements requirements.txt    # does that for you

    six==1.16.0 isn't the file that the requirements name by hash: it was changed, or the index serves another build
      uv pip compile --generate-hashes requirements.in -o requirements.txt    # once you trust the index's file

    six==1.16.0 isn't the file that the requirements name by hash: it was changed, or the index serves another build
      uv pip compile --generate-hashes requirements.in -o requirements.txt    # once you trust the index's file

    tensorflow v2.4.0 has no wheel for this Python, only for `cp36m`, `cp37m`, `cp38`
      mlbuild image --python VERSION …
      or ask for a newer tensorflow

    the package index has no `nump-nonexistent-xyz` for this Python and platform: misspelt, private, or without a wheel that fits
      pip index versions nump-nonexistent-xyz
      mlbuild doctor    # shows the package indexes that RUN steps get

    the package index has no `nump-nonexistent-xyz` for this Python and platform: misspelt, private, or without a wheel that fits
      pip index versions nump-nonexistent-xyz
      mlbuild doctor    # shows the package indexes that RUN steps get

    no version of numpy fits `numpy==99.0` on this Python and platform
      pip index versions numpy
      mlbuild image --python VERSION …    # where another Python is needed

    no version of numpy fits `numpy==99.0` on this Python and platform
      pip index versions numpy
      mlbuild image --python VERSION …    # where another Python is needed

    the requirements contradict each other
      uv pip compile requirements.txt    # says which ones

    `requirements-dev.txt` isn't in the image at that point of the build
      COPY requirements-dev.txt ./    # before the RUN line
      mlbuild image --requirements requirements-dev.txt

    a package is compiled, and Python's headers aren't installed
      name it under [image] of mlbuild.toml: compile = ["NAME"] builds it in a stage of its own
      or choose a version of the package that has a wheel

    a package has no wheel here and is compiled, but there is no compiler (x86_64-linux-gnu-gcc)
      name it under [image] of mlbuild.toml: compile = ["NAME"] builds it in a stage of its own
      or choose a version of the package that has a wheel

    a package is compiled, and the header portaudio.h isn't there
      mlbuild image --apt portaudio19-dev …    # the stage that compiles gets it, too
      or choose a version of the package that has a wheel

    a package is compiled, and what its build takes from the distribution isn't there
      mlbuild image --apt libxml2-dev --apt libxslt1-dev …    # the stage that compiles gets it, too
      or choose a version of the package that has a wheel

    the build of a package calls git, which isn't there
      mlbuild image --apt git …    # the stage that compiles gets it, too
      or choose a version of the package that has a wheel

    a package has no wheel here and is compiled, but there is no compiler (x86_64-linux-gnu-g++)
      name it under [image] of mlbuild.toml: compile = ["NAME"] builds it in a stage of its own
      or choose a version of the package that has a wheel

    a requirement is a git repository, and git isn't installed
      mlbuild image --apt git …

    a package that draws windows (opencv-python?) needs libxcb.so.1
      mlbuild image --gui …    # installs what windows need
      or use opencv-python-headless

    the shared library libgomp.so.1 isn't installed
      apt-file search libgomp.so.1    # which package has it
      mlbuild image --apt PACKAGE …

    the build of a package imports pkg_resources, which setuptools has no more
      in mlbuild.toml, under [image.extra_build_dependencies]: lap = ["setuptools<81"]
      or choose a version of the package that has a wheel

    the build of a package imports pkg_resources, which setuptools has no more
      in mlbuild.toml, under [image.extra_build_dependencies]: mmcv = ["setuptools<81"]
      or choose a version of the package that has a wheel

    the build of a package imports pkg_resources, which setuptools has no more
      in mlbuild.toml, under [image.extra_build_dependencies]: NAME = ["setuptools<81"]
      or choose a version of the package that has a wheel

    the build of a package uses numpy.distutils, which newer releases of setuptools break
      in mlbuild.toml, under [image.extra_build_dependencies]: lap = ["setuptools<65", "numpy<1.26"]
      or choose a version of the package that has a wheel

    the build of a package imports Cython, which it doesn't declare
      in mlbuild.toml, under [image.extra_build_dependencies]: cython-bbox = ["Cython"]
      or choose a version of the package that has a wheel

    the build of a package imports torch, which it doesn't declare
      in mlbuild.toml, under [image.extra_build_dependencies]: torch-scatter = ["torch"]
      or choose a version of the package that has a wheel

    the Python module numpy isn't installed for the Python that runs here
      mlbuild image --package NAME …    # the package that has the module
      which -a python3 pip    # in the same RUN: one Python installed, another runs?

    apt runs as an ordinary user
      USER root    # before the RUN line, and the user again after it

    the package lists at file:/r/dists/s/Release are too old, or the clock is wrong
      date -u    # on the builder's machine
      apt-get -o Acquire::Check-Valid-Until=false update    # for a snapshot that is meant to be old

    the package lists and the packages on the mirror don't belong together: a mirror being updated, or a proxy's cache
      mlbuild image --no-cache …    # try again
      use another mirror

    the distribution has no package libgl1-mesa-glxx, or its package lists weren't fetched
      apt-get update    # in the same RUN, before apt-get install
      apt-cache search libgl1-mesa-glxx    # in the base image: renamed?

    the distribution has no package python2, or its package lists weren't fetched
      apt-get update    # in the same RUN, before apt-get install
      apt-cache search python2    # in the base image: renamed?

    the distribution no longer has (or never had) version 99 of bash
      apt-cache policy bash    # in the base image

    `data.bin` isn't in the build context: it doesn't exist there, or .dockerignore leaves it out
      ls -l data.bin
      cat .dockerignore

    `data.bin` isn't in the build context: it doesn't exist there, or .dockerignore leaves it out
      ls -l data.bin
      cat .dockerignore

    the image or stage that COPY --from names has no `/no/such`
      docker run --rm IMAGE ls -l /no/such

    `RUNN` isn't a Dockerfile instruction
      correct the line: RUN

    there is no `Missing` in the folder that holds the Dockerfile
      mlbuild image --file PATH/TO/Dockerfile …

    the Dockerfile has no stage named nope
      grep -n -i '^FROM' Dockerfile

    a RUN line wants the secret nope, and the command line doesn't give it
      mlbuild image --secret id=nope,src=FILE …

    the build asks for network.host, which must be allowed on both sides
      mlbuild image --allow network.host …
      buildkitd --allow-insecure-entitlement network.host

    the program is for another CPU, or a script without a `#!` line
      mlbuild image --platform linux/amd64 …
      docker run --privileged --rm tonistiigi/binfmt --install all    # to run other platforms' programs

    there is no program `uvx` in the image at that point
      mlbuild image --apt PACKAGE …    # the package that has it
      echo $PATH    # in a RUN line: installed, but elsewhere?

    there is no program `uvx` in the image at that point
      mlbuild image --apt PACKAGE …    # the package that has it
      echo $PATH    # in a RUN line: installed, but elsewhere?

    there is no program `/usr/bin/nope` in the image at that point
      mlbuild image --apt PACKAGE …    # the package that has it
      echo $PATH    # in a RUN line: installed, but elsewhere?

    `/run.sh` isn't marked as executable
      chmod +x /run.sh    # or: COPY --chmod=755 …

    the step's user may not do that
      USER root    # before the RUN line, and the user again after it
      COPY --chown=UID:GID …    # for files that the user has to write
    "#);
}

#[test]
fn the_builders_words_are_searched_with_all_their_wrapping() {
    let missing = "failed to compute cache key: failed to calculate checksum of ref a3p6::v6yo: \"/data.bin\": not found";
    let unknown = "failed to solve: dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)";
    let hints = [missing, unknown].map(|message| {
        let failure = BuildFailure {
            message: message.into(),
            ..BuildFailure::default()
        };
        let hint = of(&explain(&failure, &BuildTrace::default())).unwrap();
        format!("{}\n  {}", hint.cause, hint.next.join("\n  "))
    });
    insta::assert_snapshot!(hints.join("\n"), @r"
    `data.bin` isn't in the build context: it doesn't exist there, or .dockerignore leaves it out
      ls -l data.bin
      cat .dockerignore
    `RUNN` isn't a Dockerfile instruction
      correct the line: RUN
    ");
}

#[test]
fn words_of_a_log_stay_words_of_the_command_that_is_printed() {
    for (log, next) in [
        (
            "fatal: secret x;id: not found",
            "mlbuild image --secret id='x;id',src=FILE …",
        ),
        (
            "error while loading shared libraries: lib$(id).so.1: cannot open",
            "apt-file search 'lib$(id).so.1'    # which package has it",
        ),
        (
            "sh: 1: $(touch${IFS}x): not found\nE: Unable to locate package $(touch${IFS}x)",
            "apt-cache search '$(touch${IFS}x)'    # in the base image: renamed?",
        ),
    ] {
        let found = hint(log, "").unwrap();
        assert!(found.next.iter().any(|line| line == next), "{found:?}");
    }
}
