//! The usual causes of failed builds, as data: how each shows itself in a step's log or the
//! builder's message, what it means, and what to type next.

use std::sync::LazyLock;

use mlbuild_progress::explain::Failure;
use regex::{Captures, Regex};

use mlbuild::shell::word;

mod debian;

/// A usual cause, recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Short name of the cause, stable, for programs: `pip-no-package`.
    pub id: &'static str,
    /// What happened, in one sentence.
    pub cause: String,
    /// What to type or change next, most likely first.
    pub next: Vec<String>,
}

/// One row of the table. `$1` or `${name}` in a text stands for a group of the pattern.
struct Rule {
    id: &'static str,
    /// Matched against the log's last lines and then the builder's message, line by line.
    pattern: &'static str,
    cause: &'static str,
    next: &'static [&'static str],
}

/// The first rule that matches wins: what is certain stands before what is general.
const RULES: &[Rule] = &[
    // Space and memory.
    Rule {
        id: "no-space",
        pattern: r"(?i)no space left on device|disk quota exceeded|\bENOSPC\b",
        cause: "a disk is full: the builder's, or a tmpfs that the step mounts",
        next: &[
            "df -h    # on the builder's machine",
            "docker builder prune    # or: buildctl prune",
        ],
    },
    Rule {
        id: "out-of-memory",
        pattern: r"exit code: 137\b|signal: killed|Cannot allocate memory|std::bad_alloc",
        cause: "the step was killed, most often because the builder ran out of memory",
        next: &[
            "free -h    # on the builder's machine",
            "dmesg | grep -i 'out of memory'",
        ],
    },
    // Certificates and names: they make package managers say "not found" afterwards.
    Rule {
        id: "ca-file-missing",
        pattern: r"Could not find a suitable TLS CA certificate bundle, invalid path: (\S+)",
        cause: "the CA bundle `$1` that pip was told to use isn't in the image",
        next: &[
            "mlbuild image --apt ca-certificates …",
            "mlbuild doctor    # shows the CA bundle that RUN steps get",
        ],
    },
    Rule {
        id: "tls-unknown-ca",
        pattern: r"CERTIFICATE_VERIFY_FAILED|invalid peer certificate: UnknownIssuer|certificate signed by unknown authority|SSL certificate problem|server certificate verification failed|unable to get local issuer certificate|certificate verify failed",
        cause: "the server's certificate is signed by a CA that isn't trusted here: often a company's TLS proxy",
        next: &[
            "SSL_CERT_FILE=/path/to/ca-bundle.crt mlbuild image …    # RUN steps get the host's bundle",
            "mlbuild doctor    # shows the CA bundle that RUN steps get",
        ],
    },
    Rule {
        id: "syntax-frontend",
        pattern: r"(?:source metadata for|resolve image config for|resolve) \S*docker/dockerfile\S*",
        cause: "the `# syntax=` line makes the builder fetch its Dockerfile reader from a registry, and that failed",
        next: &["sed -i '/^# *syntax=/d' Dockerfile    # the builder has one built in"],
    },
    Rule {
        id: "dns",
        pattern: r"(?:Could not resolve(?: host:?)? '?|[Ff]ailed to resolve '|dial tcp: lookup |wget: unable to resolve host address .)(?P<host>[\w.-]+\.[\w-]+)|Temporary failure in name resolution|Name or service not known|no such host|dns error|EAI_AGAIN",
        cause: "a host name can't be resolved from the build: ${host}",
        next: &[
            "getent hosts ${host}    # on the builder's machine",
            "mlbuild doctor    # shows the proxies and package indexes that RUN steps get",
            "mlbuild image --network=host --allow network.host …    # where only the host's network resolves it",
        ],
    },
    // Base images and registries.
    Rule {
        id: "registry-rate-limit",
        pattern: r"toomanyrequests|429 Too Many Requests|pull rate limit",
        cause: "the registry refuses more pulls for now",
        next: &[
            "docker login    # logged-in users may pull more",
            "mlbuild image --base MIRROR/IMAGE …",
        ],
    },
    Rule {
        id: "push-unauthorized",
        pattern: r"failed to push (?P<ref>(?P<host>[^/\s]+)/\S+?): .*(?:401 Unauthorized|403 Forbidden|authorization failed|access denied|insufficient_scope|authentication required|\bdenied)",
        cause: "the registry doesn't let you push ${ref}",
        next: &["docker login ${host}"],
    },
    Rule {
        id: "base-unauthorized",
        pattern: r"(?:source metadata for|failed to create LLB definition:) (?P<ref>(?P<host>[^/\s:]+(?::\d+)?)\S*?): .*(?:401 Unauthorized|403 Forbidden|authorization failed|access denied|insufficient_scope|authentication required|\bdenied)",
        cause: "the registry doesn't let you pull ${ref}: you aren't logged in, or the image doesn't exist",
        next: &[
            "docker login ${host}",
            "docker buildx imagetools inspect ${ref}",
        ],
    },
    Rule {
        id: "base-not-found",
        pattern: r"source metadata for (?P<ref>\S+?): .*(?:not found|manifest unknown|404)|failed to create LLB definition: (?P<old>\S+?): (?:not found|manifest unknown)",
        cause: "there is no image ${ref}${old}",
        next: &[
            "docker buildx imagetools inspect ${ref}${old}",
            "mlbuild image --base IMAGE …",
        ],
    },
    Rule {
        id: "base-platform",
        pattern: r"no match for platform in manifest|no matching manifest for (\S+)",
        cause: "the base image has no variant for the platform asked for",
        next: &[
            "docker buildx imagetools inspect BASE    # lists its platforms",
            "mlbuild image --platform linux/amd64 …",
        ],
    },
    Rule {
        id: "registry-is-http",
        pattern: r"server gave HTTP response to HTTPS client",
        cause: "the registry speaks plain HTTP, and the builder expects HTTPS",
        next: &[
            "mlbuild image --insecure-registry HOST:PORT …    # where mlbuild pushes",
            "add [registry.\"HOST:PORT\"] http = true to the builder's buildkitd.toml",
        ],
    },
    Rule {
        id: "connection-refused",
        pattern: r"dial tcp (?P<host>\S+): connect: connection refused",
        cause: "nothing answers at ${host}, as seen from the builder",
        next: &[
            "curl -v http://${host}/v2/    # on the builder's machine",
            "mlbuild doctor",
        ],
    },
    Rule {
        id: "network-unreachable",
        pattern: r"[Nn]etwork is unreachable|No route to host|i/o timeout|[Cc]onnection timed out|ConnectTimeoutError|ReadTimeoutError|Connection refused|Errno 111",
        cause: "the build can't reach the network, or the server doesn't answer",
        next: &[
            "mlbuild doctor    # shows the proxies and package indexes that RUN steps get",
            "mlbuild image --network=host --allow network.host …    # where only the host's network gets out",
        ],
    },
    Rule {
        id: "index-unreachable",
        pattern: r"Retrying \(Retry\(total=\d+,.* after connection broken by '(?P<pip>\w+)|error sending request for url|HTTP error (?P<code>5\d\d) while getting|HTTP status server error \((?P<uv>5\d\d[^)]*)\)|Connection reset by peer|connection closed before message completed|RemoteDisconnected|operation timed out",
        cause: "the package index couldn't be reached, or broke off the connection: ${pip}${code}${uv}",
        next: &[
            "mlbuild image …    # again: what was installed before this step is kept",
            "mlbuild doctor    # shows the proxies and package indexes that RUN steps get",
        ],
    },
    // GPUs.
    Rule {
        id: "cuda-driver-too-old",
        pattern: r"CUDA driver version is insufficient for CUDA runtime version|The NVIDIA driver on your system is too old|unsatisfied condition: cuda>=(?P<need>[\d.]+)",
        cause: "the image needs a newer NVIDIA driver than this machine has",
        next: &[
            "nvidia-smi    # shows the driver and the newest CUDA that it runs",
            "mlbuild image --base IMAGE-WITH-AN-OLDER-CUDA …",
        ],
    },
    Rule {
        id: "cuda-no-kernel",
        pattern: r"no kernel image is available for execution on the device|nvcc fatal\s*:\s*Unsupported gpu architecture '(\S+)'|is not compatible with the current PyTorch installation",
        cause: "the CUDA code wasn't compiled for this GPU, or this CUDA doesn't know it",
        next: &[
            "nvidia-smi --query-gpu=name,compute_cap --format=csv",
            "mlbuild image --package 'torch==NEWER' …",
        ],
    },
    Rule {
        id: "cudnn-mismatch",
        pattern: r"Loaded runtime CuDNN library: (?P<have>[\d.]+) but source was compiled with: (?P<need>[\d.]+)|cuDNN version incompatibility|CUDNN_STATUS_(?:NOT_INITIALIZED|VERSION_MISMATCH|SUBLIBRARY_VERSION_MISMATCH)",
        cause: "the framework was built for another cuDNN than the one it found",
        next: &[
            "mlbuild image --gpu …    # chooses a base that fits the framework",
            "pip list | grep -i -E 'cudnn|torch|tensorflow'    # inside the image: CUDA from wheels and from the base?",
        ],
    },
    Rule {
        id: "cuda-version-mismatch",
        pattern: r"The detected CUDA version \((?P<have>[\d.]+)\) mismatches the version that was used to compile\s+PyTorch \((?P<need>[\d.]+)\)",
        cause: "the base has CUDA ${have}, and PyTorch was built with CUDA ${need}",
        next: &["mlbuild image --base A-CUDA-${need}-DEVEL-IMAGE …"],
    },
    Rule {
        id: "cuda-home",
        pattern: r"CUDA_HOME environment variable is not set|nvcc: (?:command )?not found|Failed to find nvcc",
        cause: "something compiles CUDA code, and the base has no CUDA toolkit",
        next: &[
            "mlbuild image --gpu --base A-CUDA-DEVEL-IMAGE …",
            "or choose a version of the package that has a wheel",
        ],
    },
    Rule {
        id: "no-gpu-in-build",
        pattern: r"libcuda\.so\.1: cannot open shared object file|nvidia-smi: (?:command )?not found|Found no NVIDIA driver on your system|no CUDA-capable device is detected",
        cause: "a build has no GPU and no driver: they come with the container when it runs",
        next: &[
            "move the command that needs the GPU from RUN to when the container runs",
            "docker run --gpus=all IMAGE …",
        ],
    },
    // Python packages.
    Rule {
        id: "pip-externally-managed",
        pattern: r"externally-managed-environment|This environment is externally managed|The interpreter at \S+ is externally managed",
        cause: "this Python belongs to the distribution: packages go into a virtual environment",
        next: &[
            "python3 -m venv /opt/venv && /opt/venv/bin/pip install …",
            "mlbuild image --requirements requirements.txt    # does that for you",
        ],
    },
    Rule {
        id: "pip-hash",
        pattern: r"Hash mismatch for `(?P<uv>[^`]+)`|DO NOT MATCH THE HASHES[\s\S]*?^\s+(?P<pip>\S+==\S+) from ",
        cause: "${uv}${pip} isn't the file that the requirements name by hash: it was changed, or the index serves another build",
        next: &[
            "uv pip compile --generate-hashes requirements.in -o requirements.txt    # once you trust the index's file",
        ],
    },
    Rule {
        id: "pip-wheel-python",
        pattern: r"only found wheels for `(?P<name>[^`]+)` \((?P<version>[^)]+)\) with the following Python ABI tags?: (?P<tags>.+)",
        cause: "${name} ${version} has no wheel for this Python, only for ${tags}",
        next: &[
            "mlbuild image --python VERSION …",
            "or ask for a newer ${name}",
        ],
    },
    Rule {
        id: "pip-no-package",
        pattern: r"satisfies the requirement (?P<pip>[A-Za-z0-9._-]+)\S* \(from versions: none\)|Because (?P<uv>\S+) was not found in the package registry",
        cause: "the package index has no `${pip}${uv}` for this Python and platform: misspelt, private, or without a wheel that fits",
        next: &[
            "pip index versions ${pip}${uv}",
            "mlbuild doctor    # shows the package indexes that RUN steps get",
        ],
    },
    Rule {
        id: "pip-no-version",
        pattern: r"satisfies the requirement (?P<pip>(?P<name>[A-Za-z0-9._-]+)\S*) \(from versions: (?:[^)]*, )?(?P<newest>[^,)\s]+)\)|there is no version of (?P<uv>(?P<uvname>[A-Za-z0-9._-]+)\S*) and you require",
        cause: "no version of ${name}${uvname} fits `${pip}${uv}` on this Python and platform",
        next: &[
            "pip index versions ${name}${uvname}",
            "mlbuild image --python VERSION …    # where another Python is needed",
        ],
    },
    Rule {
        id: "pip-conflict",
        pattern: r"ResolutionImpossible|Cannot install (?P<a>\S+) (?:and \S+ )?because these package versions have conflicting dependencies|your requirements are unsatisfiable",
        cause: "the requirements contradict each other",
        next: &["uv pip compile requirements.txt    # says which ones"],
    },
    Rule {
        id: "pip-requirements-missing",
        pattern: r"Could not open requirements file: .*'(?P<pip>[^']+)'|File not found: `(?P<uv>[^`]+)`",
        cause: "`${pip}${uv}` isn't in the image at that point of the build",
        next: &[
            "COPY ${pip}${uv} ./    # before the RUN line",
            "mlbuild image --requirements ${pip}${uv}",
        ],
    },
    Rule {
        id: "python-header-missing",
        pattern: r"fatal error: Python\.h: No such file or directory",
        cause: "a package is compiled, and Python's headers aren't installed",
        next: &[
            "name it under [image] of mlbuild.toml: compile = [\"NAME\"] builds it in a stage of its own",
            "or choose a version of the package that has a wheel",
        ],
    },
    Rule {
        id: "compiler-missing",
        pattern: r"command '(?P<pip>\S*(?:gcc|g\+\+|cc|c\+\+|clang|gfortran)(?:-\d+)?)' failed: No such file or directory|unable to execute '(?P<old>\S*(?:gcc|g\+\+|cc|c\+\+|clang))': No such file|(?:No such file or directory: |Unknown compiler\(s\): \[\[?)'(?P<meson>(?:[\w.]+-linux-gnu\w*-)?(?:cc|gcc|c\+\+|g\+\+)(?:-\d+)?)'|linker `(?P<rust>cc)` not found|No (?P<cmake>CMAKE_CXX?_COMPILER) could be found|(?P<libtool>no acceptable C compiler found)",
        cause: "a package has no wheel here and is compiled, but there is no compiler (${pip}${old}${meson}${rust}${cmake}${libtool})",
        next: &[
            "name it under [image] of mlbuild.toml: compile = [\"NAME\"] builds it in a stage of its own",
            "or choose a version of the package that has a wheel",
        ],
    },
    Rule {
        id: "header-missing",
        pattern: r"fatal error: '?(?P<header>[\w./+-]+\.h(?:h|pp)?)'?(?:: No such file or directory| file not found)|fatal error: (?P<eigen>Eigen/\w+): No such file|[Cc]ould not find (?:include file|header) '?(?P<said>[\w./+-]+\.h)",
        cause: "a package is compiled, and the header ${header}${eigen}${said} isn't there",
        next: &[
            "mlbuild image --apt ${debian} …    # the stage that compiles gets it, too",
            "or choose a version of the package that has a wheel",
        ],
    },
    Rule {
        id: "development-files-missing",
        pattern: r"(?P<lxml>libxml2 and libxslt) development packages|(?P<hdf5>[Uu]nable to (?:locate|load dependency) HDF5|[Cc]ould not find (?:a local |the )?HDF5|error: libhdf5\.so)|(?P<pg>pg_config executable not found)|(?P<mysql>Can not find valid pkg-config name|mysql_config not found|Trying pkg-config --exists mysqlclient)|No package '(?P<pc>[\w.+-]+)' found|Package (?P<package>[\w.+-]+) was not found in the pkg-config search path|Dependency \x22(?P<meson>[\w.+-]+)\x22 not found, tried pkgconfig|(?P<rust>can't find Rust compiler|(?:cargo|Rust), the Rust package manager, is not installed|Rust toolchain (?:is )?not (?:found|installed))|(?P<cmakeneeded>CMake must be installed|Problem with the CMake installation|Could not find CMAKE_ROOT)|(?P<portaudio>portaudio\.h)|(?P<gdal>gdal-config: not found|A GDAL API version must be specified)|(?P<geos>geos-config)|(?P<fortran>Unknown compiler\(s\): \[\['gfortran'|no Fortran compiler|gfortran: (?:command )?not found)|(?P<lapack>No (?:lapack/)?blas/?lapack|[Nn]o lapack/blas resources found|Dependency lookup for OpenBLAS)",
        cause: "a package is compiled, and what its build takes from the distribution isn't there",
        next: &[
            "mlbuild image --apt ${debian} …    # the stage that compiles gets it, too",
            "or choose a version of the package that has a wheel",
        ],
    },
    Rule {
        id: "build-program-missing",
        pattern: r"No such file or directory: '(?P<program>[\w./+-]+)'\s*$",
        cause: "the build of a package calls ${program}, which isn't there",
        next: &[
            "mlbuild image --apt ${debian} …    # the stage that compiles gets it, too",
            "or choose a version of the package that has a wheel",
        ],
    },
    Rule {
        id: "git-missing",
        pattern: r"Cannot find command 'git'|Git executable not found|error: Git operation failed[\s\S]*No such file",
        cause: "a requirement is a git repository, and git isn't installed",
        next: &["mlbuild image --apt git …"],
    },
    Rule {
        id: "library-missing-gui",
        pattern: r"ImportError: (?P<lib>(?:libGL|libxcb|libSM|libX11|libXext|libgthread-2\.0|libglib-2\.0|libEGL)\.so\S*): cannot open shared object file",
        cause: "a package that draws windows (opencv-python?) needs ${lib}",
        next: &[
            "mlbuild image --gui …    # installs what windows need",
            "or use opencv-python-headless",
        ],
    },
    Rule {
        id: "library-missing",
        pattern: r"(?:ImportError|OSError): (?P<lib>lib\S+\.so\S*): cannot open shared object file|error while loading shared libraries: (?P<ld>lib\S+\.so\S*):",
        cause: "the shared library ${lib}${ld} isn't installed",
        next: &[
            "apt-file search ${lib}${ld}    # which package has it",
            "mlbuild image --apt PACKAGE …",
        ],
    },
    // A build sees what its package declares, and nothing of the image.
    Rule {
        id: "pkg-resources-gone",
        pattern: r"likely indicates that `(?P<uv>[^@`\s]+)(?:@[^`]*)?` depends on `pkg_resources`|No module named 'pkg_resources'[\s\S]*?(?:Failed to build '(?P<pip>[^'\s]+)' when getting|(?:Getting requirements to build wheel|python setup\.py egg_info) did not run successfully)",
        cause: "the build of a package imports pkg_resources, which setuptools has no more",
        next: &[
            "in mlbuild.toml, under [image.extra_build_dependencies]: ${who} = [\"setuptools<81\"]",
            "or choose a version of the package that has a wheel",
        ],
    },
    Rule {
        id: "numpy-distutils",
        pattern: r"likely indicates that `(?P<uv>[^@`\s]+)(?:@[^`]*)?` depends on `distutils\.[^`\s]+`|No module named 'distutils\.\w+'[\s\S]*?(?:Failed to build '(?P<pip>[^'\s]+)' when getting|(?:Getting requirements to build wheel|python setup\.py egg_info) did not run successfully)",
        cause: "the build of a package uses numpy.distutils, which newer releases of setuptools break",
        next: &[
            "in mlbuild.toml, under [image.extra_build_dependencies]: ${who} = [\"setuptools<65\", \"numpy<1.26\"]",
            "or choose a version of the package that has a wheel",
        ],
    },
    Rule {
        id: "build-dependency-missing",
        pattern: r"likely indicates that `(?P<uv>[^@`\s]+)(?:@[^`]*)?` depends on `(?P<module>[^`\s]+)`|No module named '(?P<old>[^'\s]+)'[\s\S]*?(?:Failed to build '(?P<pip>[^'\s]+)' when getting|(?:Getting requirements to build wheel|python setup\.py egg_info) did not run successfully)",
        cause: "the build of a package imports ${module}${old}, which it doesn't declare",
        next: &[
            "in mlbuild.toml, under [image.extra_build_dependencies]: ${who} = [\"${module}${old}\"]",
            "or choose a version of the package that has a wheel",
        ],
    },
    Rule {
        id: "module-missing",
        pattern: r"ModuleNotFoundError: No module named '(?P<name>[^']+)'",
        cause: "the Python module ${name} isn't installed for the Python that runs here",
        next: &[
            "mlbuild image --package NAME …    # the package that has the module",
            "which -a python3 pip    # in the same RUN: one Python installed, another runs?",
        ],
    },
    // Debian packages.
    Rule {
        id: "apt-lock-permission",
        pattern: r"Could not open lock file \S+ - open \(13: Permission denied\)|are you root\?",
        cause: "apt runs as an ordinary user",
        next: &["USER root    # before the RUN line, and the user again after it"],
    },
    Rule {
        id: "apt-expired",
        pattern: r"Release file for (\S+) is (?:expired|not valid yet)",
        cause: "the package lists at $1 are too old, or the clock is wrong",
        next: &[
            "date -u    # on the builder's machine",
            "apt-get -o Acquire::Check-Valid-Until=false update    # for a snapshot that is meant to be old",
        ],
    },
    Rule {
        id: "apt-hash",
        pattern: r"Hash Sum mismatch|File has unexpected size",
        cause: "the package lists and the packages on the mirror don't belong together: a mirror being updated, or a proxy's cache",
        next: &[
            "mlbuild image --no-cache …    # try again",
            "use another mirror",
        ],
    },
    Rule {
        id: "apt-no-package",
        pattern: r"E: Unable to locate package (?P<name>\S+)|E: Package '(?P<other>\S+)' has no installation candidate",
        cause: "the distribution has no package ${name}${other}, or its package lists weren't fetched",
        next: &[
            "apt-get update    # in the same RUN, before apt-get install",
            "apt-cache search ${name}${other}    # in the base image: renamed?",
        ],
    },
    Rule {
        id: "apt-no-version",
        pattern: r"E: Version '(?P<version>[^']+)' for '(?P<name>[^']+)' was not found",
        cause: "the distribution no longer has (or never had) version ${version} of ${name}",
        next: &["apt-cache policy ${name}    # in the base image"],
    },
    // The Dockerfile and the context.
    Rule {
        id: "copy-source-missing",
        pattern: r#"failed to calculate checksum of ref \S+: "/?(?P<path>[^"]+)": not found|failed to compute cache key: "/?(?P<old>[^"]+)" not found"#,
        cause: "`${path}${old}` isn't in the build context: it doesn't exist there, or .dockerignore leaves it out",
        next: &["ls -l ${path}${old}", "cat .dockerignore"],
    },
    Rule {
        id: "copy-from-missing",
        pattern: r"failed to calculate checksum of ref \S+: failed to walk \S+?/buildkit-mount\d+(?P<path>\S*): lstat \S+: no such file or directory",
        cause: "the image or stage that COPY --from names has no `${path}`",
        next: &["docker run --rm IMAGE ls -l ${path}"],
    },
    Rule {
        id: "dockerfile-instruction",
        pattern: r"unknown instruction: (?P<word>\S+)(?: \(did you mean (?P<near>\S+)\?\))?",
        cause: "`${word}` isn't a Dockerfile instruction",
        next: &["correct the line: ${near}"],
    },
    Rule {
        id: "dockerfile-missing",
        pattern: r"failed to read dockerfile: open (?P<path>\S+): no such file or directory",
        cause: "there is no `${path}` in the folder that holds the Dockerfile",
        next: &["mlbuild image --file PATH/TO/Dockerfile …"],
    },
    Rule {
        id: "target-missing",
        pattern: r#"target stage "?(?P<name>[^"\s]+)"? could not be found"#,
        cause: "the Dockerfile has no stage named ${name}",
        next: &["grep -n -i '^FROM' Dockerfile"],
    },
    Rule {
        id: "secret-missing",
        pattern: r"secret (?P<id>\S+): not found",
        cause: "a RUN line wants the secret ${id}, and the command line doesn't give it",
        next: &["mlbuild image --secret id=${id},src=FILE …"],
    },
    Rule {
        id: "entitlement",
        pattern: r"(?:entitlement )?(?P<name>network\.host|security\.insecure) is not allowed",
        cause: "the build asks for ${name}, which must be allowed on both sides",
        next: &[
            "mlbuild image --allow ${name} …",
            "buildkitd --allow-insecure-entitlement ${name}",
        ],
    },
    // Programs.
    Rule {
        id: "exec-format",
        pattern: r"exec format error|Exec format error",
        cause: "the program is for another CPU, or a script without a `#!` line",
        next: &[
            "mlbuild image --platform linux/amd64 …",
            "docker run --privileged --rm tonistiigi/binfmt --install all    # to run other platforms' programs",
        ],
    },
    Rule {
        id: "command-not-found",
        pattern: r"^/\S+: (?:line )?\d+: (?P<sh>\S+?): (?:command )?not found|^(?P<plain>[^\s:/]+): (?:command )?not found|exec: \x22(?P<exec>[^\x22]+)\x22: (?:executable file not found|stat \S+: no such file)",
        cause: "there is no program `${sh}${plain}${exec}` in the image at that point",
        next: &[
            "mlbuild image --apt PACKAGE …    # the package that has it",
            "echo $$PATH    # in a RUN line: installed, but elsewhere?",
        ],
    },
    Rule {
        id: "not-executable",
        pattern: r"^(?:/\S+: (?:line )?\d+: )?(?P<path>/?[\w./-]+): Permission denied[\s\S]*exit code: 126",
        cause: "`${path}` isn't marked as executable",
        next: &["chmod +x ${path}    # or: COPY --chmod=755 …"],
    },
    Rule {
        id: "permission",
        pattern: r"[Pp]ermission denied|EACCES|Operation not permitted",
        cause: "the step's user may not do that",
        next: &[
            "USER root    # before the RUN line, and the user again after it",
            "COPY --chown=UID:GID …    # for files that the user has to write",
        ],
    },
];

static COMPILED: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let compile = |rule: &Rule| Regex::new(&format!("(?m){}", rule.pattern));
    RULES
        .iter()
        .map(|rule| compile(rule).expect("every pattern is tested"))
        .collect()
});

/// Stands in a hint for a package that the log doesn't name.
pub const NOBODY: &str = "NAME";

/// A group of a pattern, in a text.
static GROUP: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\$\{(\w+)\}").expect("it is tested"));

/// The first usual cause that a failed build shows.
pub fn of(failure: &Failure) -> Option<Hint> {
    let evidence = &failure.evidence;
    // uv wraps its lines, so that a cause may stand in two.
    let words = evidence.log.iter().flat_map(|line| line.split_whitespace());
    let joined = words.collect::<Vec<_>>().join(" ");
    hint(&evidence.log.join("\n"), &evidence.message).or_else(|| hint(&joined, ""))
}

/// The first usual cause that a failing step's log and the builder's message show.
fn hint(log: &str, message: &str) -> Option<Hint> {
    let text = format!("{log}\n{message}");
    RULES
        .iter()
        .zip(COMPILED.iter())
        .find_map(|(rule, pattern)| {
            let found = pattern.captures(&text)?;
            let debian = debian::of(&found);
            // Of the many files that a build may miss, these are programs.
            if rule.id == "build-program-missing" && debian.is_none() {
                return None;
            }
            let fill = |template: &str| {
                let mut filled = String::new();
                found.expand(template, &mut filled);
                filled.trim_end_matches([' ', ':']).to_owned()
            };
            // The log is what a step wrote: its words go into a command as words.
            let fill_command = |template: &str| {
                let who = ["uv", "pip"].into_iter().find_map(|name| found.name(name));
                let who = who.map_or(NOBODY.to_owned(), |who| word(who.as_str()));
                let template = template.replace("${debian}", debian.unwrap_or_default());
                let template = template.replace("${who}", &who);
                let filled = GROUP.replace_all(&template, |group: &Captures| {
                    let caught = found.name(&group[1]).map_or("", |caught| caught.as_str());
                    if caught.is_empty() {
                        String::new()
                    } else {
                        word(caught.trim_end_matches([' ', ':']))
                    }
                });
                filled.replace("$$", "$")
            };
            // A line that names what wasn't caught would tell the user nothing.
            let complete = |template: &&&str| {
                if template.contains("${debian}") {
                    return debian.is_some();
                }
                let groups = pattern
                    .capture_names()
                    .flatten()
                    .filter(|n| template.contains(&format!("${{{n}}}")));
                let mut groups = groups.peekable();
                groups.peek().is_none() || groups.any(|n| found.name(n).is_some())
            };
            Some(Hint {
                id: rule.id,
                cause: fill(rule.cause),
                next: rule
                    .next
                    .iter()
                    .filter(complete)
                    .map(|line| fill_command(line))
                    .collect(),
            })
        })
}

#[cfg(test)]
mod tests;
