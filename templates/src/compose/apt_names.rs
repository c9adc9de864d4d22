//! Packages of the distribution whose names are gone from today's Debian and Ubuntu: what they are
//! called now. The new names are known to every release that mlbuild has a base of.

/// Old and new names.
const RENAMED: [(&str, &str); 22] = [
    ("libgl1-mesa-glx", "libgl1"),
    ("libegl1-mesa", "libegl1"),
    ("libgles2-mesa", "libgles2"),
    ("libwayland-egl1-mesa", "libwayland-egl1"),
    ("python", "python3"),
    ("python-dev", "python3-dev"),
    ("python-pip", "python3-pip"),
    ("python-setuptools", "python3-setuptools"),
    ("python-tk", "python3-tk"),
    ("python-numpy", "python3-numpy"),
    ("python-opencv", "python3-opencv"),
    ("libpng12-dev", "libpng-dev"),
    ("libdc1394-22-dev", "libdc1394-dev"),
    ("libmysqlclient-dev", "default-libmysqlclient-dev"),
    ("mysql-client", "default-mysql-client"),
    ("libav-tools", "ffmpeg"),
    ("netcat", "netcat-openbsd"),
    ("ttf-dejavu", "fonts-dejavu"),
    ("ttf-liberation", "fonts-liberation"),
    ("ttf-wqy-zenhei", "fonts-wqy-zenhei"),
    ("libtiff5-dev", "libtiff-dev"),
    ("libreadline6-dev", "libreadline-dev"),
];

/// Names that nothing has taken the place of.
const GONE: [&str; 7] = [
    "libjasper-dev",
    "libjasper1",
    "libavresample-dev",
    "libssl1.0.0",
    "libssl1.0-dev",
    "libgconf-2-4",
    "libtbb2",
];

/// The name of today, where a package is called otherwise by now.
pub(super) fn renamed(package: &str) -> Option<&'static str> {
    let found = RENAMED.iter().find(|(old, _)| *old == package);
    found.map(|(_, new)| *new)
}

/// Whether today's releases lack it, under any name.
pub(super) fn is_gone(package: &str) -> bool {
    GONE.contains(&package)
}
