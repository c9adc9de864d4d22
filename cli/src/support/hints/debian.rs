//! Which package of Debian has what a build misses: headers, programs, what `pkg-config` is asked for. The headers were
//! compared with the archive's own list of contents (bookworm); that a package is there is so of all of them.

use regex::Captures;

/// A header, or the folder that headers are in, and the package.
const HEADERS: [(&str, &str); 142] = [
    ("CL/", "opencl-headers"),
    ("EGL/", "libegl-dev"),
    ("Eigen/", "libeigen3-dev"),
    ("FLAC/", "libflac-dev"),
    ("GL/gl.h", "libgl-dev"),
    ("GL/glew.h", "libglew-dev"),
    ("GL/glu.h", "libglu1-mesa-dev"),
    ("GL/glut.h", "libglut-dev"),
    ("GL/osmesa.h", "libosmesa6-dev"),
    ("GLFW/", "libglfw3-dev"),
    ("SDL.h", "libsdl1.2-dev"),
    ("SDL2/", "libsdl2-dev"),
    ("X11/Xlib.h", "libx11-dev"),
    ("X11/extensions/XTest.h", "libxtst-dev"),
    ("X11/extensions/Xrandr.h", "libxrandr-dev"),
    ("alsa/", "libasound2-dev"),
    ("archive.h", "libarchive-dev"),
    ("assimp/", "libassimp-dev"),
    ("bluetooth/", "libbluetooth-dev"),
    ("boost/", "libboost-all-dev"),
    ("bzlib.h", "libbz2-dev"),
    ("cairo.h", "libcairo2-dev"),
    ("cairo/", "libcairo2-dev"),
    ("cblas.h", "libopenblas-dev"),
    ("cholmod.h", "libsuitesparse-dev"),
    ("coin/", "coinor-libipopt-dev"),
    ("curl/", "libcurl4-openssl-dev"),
    ("curses.h", "libncurses-dev"),
    ("db.h", "libdb-dev"),
    ("dbus/", "libdbus-1-dev"),
    ("dmtx.h", "libdmtx-dev"),
    ("eigen3/", "libeigen3-dev"),
    ("espeak-ng/", "libespeak-ng-dev"),
    ("ev.h", "libev-dev"),
    ("expat.h", "libexpat1-dev"),
    ("fcl/", "libfcl-dev"),
    ("ffi.h", "libffi-dev"),
    ("fftw3.h", "libfftw3-dev"),
    ("fluidsynth.h", "libfluidsynth-dev"),
    ("ft2build.h", "libfreetype-dev"),
    ("gdal.h", "libgdal-dev"),
    ("geos_c.h", "libgeos-dev"),
    ("girepository.h", "libgirepository1.0-dev"),
    ("git2.h", "libgit2-dev"),
    ("glib.h", "libglib2.0-dev"),
    ("glpk.h", "libglpk-dev"),
    ("gmp.h", "libgmp-dev"),
    ("google/protobuf/", "libprotobuf-dev"),
    ("graphviz/", "libgraphviz-dev"),
    ("gsl/", "libgsl-dev"),
    ("gssapi/", "libkrb5-dev"),
    ("hdf5.h", "libhdf5-dev"),
    ("hiredis/", "libhiredis-dev"),
    ("htslib/", "libhts-dev"),
    ("hwloc.h", "libhwloc-dev"),
    ("igraph/", "libigraph-dev"),
    ("infiniband/", "libibverbs-dev"),
    ("jack/", "libjack-dev"),
    ("jpeglib.h", "libjpeg62-turbo-dev"),
    ("krb5.h", "libkrb5-dev"),
    ("lapacke.h", "liblapacke-dev"),
    ("lber.h", "libldap-dev"),
    ("lcms2.h", "liblcms2-dev"),
    ("ldap.h", "libldap-dev"),
    ("leptonica/", "libleptonica-dev"),
    ("leveldb/", "libleveldb-dev"),
    ("libavcodec/", "libavcodec-dev"),
    ("libavdevice/", "libavdevice-dev"),
    ("libavfilter/", "libavfilter-dev"),
    ("libavformat/", "libavformat-dev"),
    ("libavutil/", "libavutil-dev"),
    ("libheif/", "libheif-dev"),
    ("libpq-fe.h", "libpq-dev"),
    ("libswresample/", "libswresample-dev"),
    ("libswscale/", "libswscale-dev"),
    ("libusb-1.0/", "libusb-1.0-0-dev"),
    ("libxml/", "libxml2-dev"),
    ("libxslt/", "libxslt1-dev"),
    ("lmdb.h", "liblmdb-dev"),
    ("lz4.h", "liblz4-dev"),
    ("lzma.h", "liblzma-dev"),
    ("magic.h", "libmagic-dev"),
    ("metis.h", "libmetis-dev"),
    ("mpc.h", "libmpc-dev"),
    ("mpfr.h", "libmpfr-dev"),
    ("mpi.h", "libopenmpi-dev"),
    ("mysql.h", "default-libmysqlclient-dev"),
    ("netcdf.h", "libnetcdf-dev"),
    ("nlopt.h", "libnlopt-dev"),
    ("numa.h", "libnuma-dev"),
    ("ode/", "libode-dev"),
    ("opencv2/", "libopencv-dev"),
    ("opencv4/", "libopencv-dev"),
    ("openjpeg-2.5/", "libopenjp2-7-dev"),
    ("openssl/", "libssl-dev"),
    ("opus/", "libopus-dev"),
    ("pango/", "libpango1.0-dev"),
    ("pcap.h", "libpcap0.8-dev"),
    ("png.h", "libpng-dev"),
    ("poppler/", "libpoppler-cpp-dev"),
    ("portaudio.h", "portaudio19-dev"),
    ("ppl.hh", "libppl-dev"),
    ("proj.h", "libproj-dev"),
    ("pulse/", "libpulse-dev"),
    ("pybind11/", "pybind11-dev"),
    ("readline/", "libreadline-dev"),
    ("rocksdb/", "librocksdb-dev"),
    ("rubberband/", "librubberband-dev"),
    ("samplerate.h", "libsamplerate0-dev"),
    ("sasl/", "libsasl2-dev"),
    ("seccomp.h", "libseccomp-dev"),
    ("sentencepiece_processor.h", "libsentencepiece-dev"),
    ("snappy-c.h", "libsnappy-dev"),
    ("sndfile.h", "libsndfile1-dev"),
    ("sox.h", "libsox-dev"),
    ("soxr.h", "libsoxr-dev"),
    ("spatialindex/", "libspatialindex-dev"),
    ("sql.h", "unixodbc-dev"),
    ("sqlext.h", "unixodbc-dev"),
    ("sqlite3.h", "libsqlite3-dev"),
    ("suitesparse/", "libsuitesparse-dev"),
    ("sys/capability.h", "libcap-dev"),
    ("systemd/", "libsystemd-dev"),
    ("tbb/", "libtbb-dev"),
    ("tcl.h", "tcl-dev"),
    ("tesseract/", "libtesseract-dev"),
    ("tiffio.h", "libtiff-dev"),
    ("tk.h", "tk-dev"),
    ("turbojpeg.h", "libturbojpeg0-dev"),
    ("umfpack.h", "libsuitesparse-dev"),
    ("usb.h", "libusb-dev"),
    ("uuid/", "uuid-dev"),
    ("vorbis/", "libvorbis-dev"),
    ("vulkan/", "libvulkan-dev"),
    ("wayland-client.h", "libwayland-dev"),
    ("webp/", "libwebp-dev"),
    ("xcb/", "libxcb1-dev"),
    ("yaml.h", "libyaml-dev"),
    ("zbar.h", "libzbar-dev"),
    ("zlib.h", "zlib1g-dev"),
    ("zmq.h", "libzmq3-dev"),
    ("zstd.h", "libzstd-dev"),
];

/// A program, and the package.
const PROGRAMS: [(&str, &str); 63] = [
    ("R", "r-base"),
    ("aclocal", "automake"),
    ("autoconf", "autoconf"),
    ("automake", "automake"),
    ("autoreconf", "autoconf"),
    ("bc", "bc"),
    ("bison", "bison"),
    ("cargo", "cargo"),
    ("ccache", "ccache"),
    ("clang", "clang"),
    ("cmake", "cmake"),
    ("curl", "curl"),
    ("curl-config", "libcurl4-openssl-dev"),
    ("dot", "graphviz"),
    ("doxygen", "doxygen"),
    ("f77", "gfortran"),
    ("f95", "gfortran"),
    ("ffmpeg", "ffmpeg"),
    ("file", "file"),
    ("flex", "flex"),
    ("gdal-config", "libgdal-dev"),
    ("geos-config", "libgeos-dev"),
    ("gfortran", "gfortran"),
    ("git", "git"),
    ("go", "golang-go"),
    ("gperf", "gperf"),
    ("gsl-config", "libgsl-dev"),
    ("hg", "mercurial"),
    ("java", "default-jre-headless"),
    ("javac", "default-jdk-headless"),
    ("krb5-config", "libkrb5-dev"),
    ("libtoolize", "libtool"),
    ("llvm-config", "llvm-dev"),
    ("lsb_release", "lsb-release"),
    ("make", "make"),
    ("mariadb_config", "libmariadb-dev"),
    ("meson", "meson"),
    ("mpicc", "libopenmpi-dev"),
    ("mpicxx", "libopenmpi-dev"),
    ("mpirun", "openmpi-bin"),
    ("mysql_config", "default-libmysqlclient-dev"),
    ("nasm", "nasm"),
    ("nc-config", "libnetcdf-dev"),
    ("ninja", "ninja-build"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("patch", "patch"),
    ("pg_config", "libpq-dev"),
    ("pkg-config", "pkg-config"),
    ("pkgconf", "pkg-config"),
    ("protoc", "protobuf-compiler"),
    ("rsync", "rsync"),
    ("rustc", "rustc"),
    ("sdl-config", "libsdl1.2-dev"),
    ("sdl2-config", "libsdl2-dev"),
    ("sox", "sox"),
    ("swig", "swig"),
    ("unzip", "unzip"),
    ("wget", "wget"),
    ("xml2-config", "libxml2-dev"),
    ("xslt-config", "libxslt1-dev"),
    ("xxd", "xxd"),
    ("yasm", "yasm"),
];

/// A name that `pkg-config` knows, and the package.
const LIBRARIES: [(&str, &str); 75] = [
    ("alsa", "libasound2-dev"),
    ("assimp", "libassimp-dev"),
    ("blas", "libblas-dev"),
    ("bullet", "libbullet-dev"),
    ("cairo", "libcairo2-dev"),
    ("dbus-1", "libdbus-1-dev"),
    ("egl", "libegl-dev"),
    ("eigen3", "libeigen3-dev"),
    ("fftw3", "libfftw3-dev"),
    ("freetype2", "libfreetype-dev"),
    ("fuse", "libfuse-dev"),
    ("fuse3", "libfuse3-dev"),
    ("gdal", "libgdal-dev"),
    ("geos", "libgeos-dev"),
    ("gl", "libgl-dev"),
    ("glfw3", "libglfw3-dev"),
    ("glib-2.0", "libglib2.0-dev"),
    ("gmp", "libgmp-dev"),
    ("gobject-introspection-1.0", "libgirepository1.0-dev"),
    ("hdf5", "libhdf5-dev"),
    ("htslib", "libhts-dev"),
    ("ipopt", "coinor-libipopt-dev"),
    ("lapack", "liblapack-dev"),
    ("lept", "libleptonica-dev"),
    ("libarchive", "libarchive-dev"),
    ("libavcodec", "libavcodec-dev"),
    ("libavdevice", "libavdevice-dev"),
    ("libavfilter", "libavfilter-dev"),
    ("libavformat", "libavformat-dev"),
    ("libavutil", "libavutil-dev"),
    ("libcgraph", "libgraphviz-dev"),
    ("libcurl", "libcurl4-openssl-dev"),
    ("libev", "libev-dev"),
    ("libffi", "libffi-dev"),
    ("libgit2", "libgit2-dev"),
    ("libgvc", "libgraphviz-dev"),
    ("libheif", "libheif-dev"),
    ("libjpeg", "libjpeg62-turbo-dev"),
    ("libmariadb", "libmariadb-dev"),
    ("libpng", "libpng-dev"),
    ("libpq", "libpq-dev"),
    ("libseccomp", "libseccomp-dev"),
    ("libswresample", "libswresample-dev"),
    ("libswscale", "libswscale-dev"),
    ("libsystemd", "libsystemd-dev"),
    ("libtiff-4", "libtiff-dev"),
    ("libturbojpeg", "libturbojpeg0-dev"),
    ("libusb-1.0", "libusb-1.0-0-dev"),
    ("libwebp", "libwebp-dev"),
    ("libxml-2.0", "libxml2-dev"),
    ("libxslt", "libxslt1-dev"),
    ("libzmq", "libzmq3-dev"),
    ("mariadb", "libmariadb-dev"),
    ("mysqlclient", "default-libmysqlclient-dev"),
    ("ncurses", "libncurses-dev"),
    ("netcdf", "libnetcdf-dev"),
    ("openblas", "libopenblas-dev"),
    ("opencv4", "libopencv-dev"),
    ("openssl", "libssl-dev"),
    ("opus", "libopus-dev"),
    ("osmesa", "libosmesa6-dev"),
    ("pangocairo", "libpango1.0-dev"),
    ("poppler-cpp", "libpoppler-cpp-dev"),
    ("portaudio-2.0", "portaudio19-dev"),
    ("proj", "libproj-dev"),
    ("rubberband", "librubberband-dev"),
    ("sdl2", "libsdl2-dev"),
    ("sentencepiece", "libsentencepiece-dev"),
    ("sndfile", "libsndfile1-dev"),
    ("sox", "libsox-dev"),
    ("soxr", "libsoxr-dev"),
    ("tesseract", "libtesseract-dev"),
    ("vips", "libvips-dev"),
    ("x11", "libx11-dev"),
    ("xmlsec1", "libxmlsec1-dev"),
];

/// What a rule catches by a group of its own, and the packages.
const SAID: [(&str, &str); 11] = [
    ("lxml", "libxml2-dev --apt libxslt1-dev"),
    ("hdf5", "libhdf5-dev"),
    ("pg", "libpq-dev"),
    ("mysql", "default-libmysqlclient-dev --apt pkg-config"),
    ("rust", "cargo"),
    ("cmakeneeded", "cmake"),
    ("portaudio", "portaudio19-dev"),
    ("gdal", "libgdal-dev"),
    ("geos", "libgeos-dev"),
    ("fortran", "gfortran"),
    ("lapack", "libopenblas-dev --apt pkg-config"),
];

/// The package of what a rule caught; of several, as they are given with `--apt`.
pub(super) fn of(found: &Captures<'_>) -> Option<&'static str> {
    let caught = |name: &str| found.name(name).map(|caught| caught.as_str());
    let mut headers = ["header", "eigen", "said"].into_iter().filter_map(caught);
    let mut libraries = ["pc", "package", "meson"].into_iter().filter_map(caught);
    headers
        .find_map(of_header)
        .or_else(|| caught("program").and_then(of_program))
        .or_else(|| libraries.find_map(of_library))
        .or_else(|| {
            let said = SAID.iter().find(|(group, _)| caught(group).is_some());
            said.map(|(_, packages)| *packages)
        })
}

/// The package of a header, as `#include` names it.
fn of_header(name: &str) -> Option<&'static str> {
    let is_its = |known: &str| match known.strip_suffix('/') {
        Some(_) => name.starts_with(known),
        None => name == known || name.ends_with(&format!("/{known}")),
    };
    let found = HEADERS.iter().filter(|(known, _)| is_its(known));
    Some(found.max_by_key(|(known, _)| known.len())?.1)
}

/// The package of a program, with or without the folder that it was looked for in.
fn of_program(name: &str) -> Option<&'static str> {
    let name = name.rsplit('/').next().unwrap_or(name);
    find(&PROGRAMS, name)
}

/// The package of a library, as `pkg-config` knows it.
fn of_library(name: &str) -> Option<&'static str> {
    find(&LIBRARIES, name)
}

fn find(table: &[(&'static str, &'static str)], name: &str) -> Option<&'static str> {
    let found = table.iter().find(|(known, _)| *known == name);
    found.map(|(_, package)| *package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_row_counts() {
        for (header, package) in [
            ("libxml/xmlversion.h", Some("libxml2-dev")),
            ("mysql/mysql.h", Some("default-libmysqlclient-dev")),
            ("GL/glu.h", Some("libglu1-mesa-dev")),
            ("X11/Xlib.h", Some("libx11-dev")),
            ("nosuch.h", None),
            ("notzlib.h", None),
        ] {
            assert_eq!(of_header(header), package, "{header}");
        }
        assert_eq!(of_program("/usr/bin/pg_config"), Some("libpq-dev"));
        assert_eq!(of_program("nosuch"), None);
        assert_eq!(of_library("cairo"), Some("libcairo2-dev"));
    }

    #[test]
    fn no_row_stands_twice() {
        for table in [&HEADERS[..], &PROGRAMS, &LIBRARIES] {
            assert!(table.is_sorted_by(|(a, _), (b, _)| a < b));
        }
    }
}
