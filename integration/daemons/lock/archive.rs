//! A small archive of Debian packages and an index of Python packages, which move on as real ones do.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::servers::WebServer;
use crate::support::http::sha256;

/// The archive, and the server in front of it.
pub struct Archive {
    folder: TempDir,
    pub server: WebServer,
}

impl Archive {
    /// With nothing in it.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["apt", "simple/mlpy"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let server = WebServer::start(folder.path());
        Self { folder, server }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The source list that names it.
    pub fn sources(&self) -> String {
        format!("deb [trusted=yes] http://{}/apt ./\n", self.server.host)
    }

    /// Keeps the archive's state under the time of a snapshot.
    pub fn keep(&self, time: &str) {
        let to = self.path("snapshots").join(time);
        fs::create_dir_all(&to).unwrap();
        for file in fs::read_dir(self.path("apt")).unwrap().map(Result::unwrap) {
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }

    /// The source list that names such a state.
    pub fn sources_of(&self, time: &str) -> String {
        let host = &self.server.host;
        format!("deb [trusted=yes] http://{host}/snapshots/{time} ./\n")
    }

    /// The Python index.
    pub fn index(&self) -> String {
        format!("http://{}/simple", self.server.host)
    }

    /// Offers `mltest` in this version alone; a text of the package tells two of a version apart.
    pub fn offer_deb(&self, version: &str, text: &str) {
        let tree = tempfile::tempdir().unwrap();
        let control = format!(
            "Package: mltest\nVersion: {version}\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: {text}\n"
        );
        fs::create_dir_all(tree.path().join("DEBIAN")).unwrap();
        fs::create_dir_all(tree.path().join("usr/share/mltest")).unwrap();
        fs::write(tree.path().join("DEBIAN/control"), &control).unwrap();
        fs::write(tree.path().join("usr/share/mltest/version"), version).unwrap();
        for old in fs::read_dir(self.path("apt")).unwrap() {
            fs::remove_file(old.unwrap().path()).unwrap();
        }
        let name = format!("mltest_{version}_all.deb");
        let deb = self.path("apt").join(&name);
        let made = Command::new("dpkg-deb")
            .args(["--build", "--root-owner-group"])
            .arg(tree.path())
            .arg(&deb)
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let bytes = fs::read(&deb).unwrap();
        let hash = sha256(&bytes).replace("sha256:", "");
        let size = bytes.len();
        let list = format!("{control}Filename: ./{name}\nSize: {size}\nSHA256: {hash}\n\n");
        fs::write(self.path("apt/Packages"), list).unwrap();
    }

    /// Offers wheels of `mlpy` in these versions; of those that are `yanked`, too.
    pub fn offer_wheels(&self, versions: &[(&str, bool)]) {
        let mut page = String::from("<!DOCTYPE html><html><body>\n");
        for (version, is_yanked) in versions {
            let name = format!("mlpy-{version}-py3-none-any.whl");
            let script = format!(
                "import zipfile\nz = zipfile.ZipFile({:?}, 'w')\nv = {version:?}\nd = 'mlpy-' + v + '.dist-info/'\n\
                 def add(n, t): z.writestr(zipfile.ZipInfo(n), t)\n\
                 add('mlpy.py', 'version = ' + repr(v) + '\\n')\n\
                 add(d + 'METADATA', 'Metadata-Version: 2.1\\nName: mlpy\\nVersion: ' + v + '\\n')\n\
                 add(d + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
                 add(d + 'RECORD', 'mlpy.py,,\\n' + d + 'METADATA,,\\n' + d + 'WHEEL,,\\n' + d + 'RECORD,,\\n')\nz.close()\n",
                self.path("simple/mlpy").join(&name)
            );
            let made = Command::new("python3")
                .args(["-c", &script])
                .output()
                .unwrap();
            assert!(made.status.success(), "{made:?}");
            let bytes = fs::read(self.path("simple/mlpy").join(&name)).unwrap();
            let hash = sha256(&bytes).replace(':', "=");
            let yanked = if *is_yanked {
                " data-yanked=\"broken\""
            } else {
                ""
            };
            page += &format!("<a href=\"{name}#{hash}\"{yanked}>{name}</a>\n");
        }
        fs::write(
            self.path("simple/mlpy/index.html"),
            page + "</body></html>\n",
        )
        .unwrap();
    }
}
