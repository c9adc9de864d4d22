//! The flags of `docker run` that give the container what was set up.

use std::path::Path;

use super::request::{DisplayAccess, DisplayRequest};
use super::session::Session;
use super::setup::Files;
use crate::display::Surroundings;
use crate::display::accounts::Me;
use crate::display::folder::PrivateFolder;
use crate::runtime::{Mount, Options, RunSpec, RuntimeCli};
use crate::start::Start;
use crate::start::gpu::selinux_enforces;

/// Where the container finds what is mounted.
const FOLDER: &str = "/run/mlbuild";
const CAPABILITIES: &str = "NVIDIA_DRIVER_CAPABILITIES";

/// All that decides about the flags.
pub(super) struct Plan<'a> {
    session: &'a Session,
    access: DisplayAccess,
    files: Files,
    /// `UID:GID` of this user, as the container has it.
    user: String,
    spec: &'a RunSpec,
    /// `NVIDIA_DRIVER_CAPABILITIES`, where there is a GPU that knows them.
    capabilities: Option<String>,
    /// Whether the image decides about MIT-SHM itself.
    image_has_shm: bool,
    init: bool,
    selinux: bool,
}

impl<'a> Plan<'a> {
    /// For a run that is about to start.
    pub(super) fn of(
        session: &'a Session,
        display: &DisplayRequest,
        start: &'a Start,
        files: Files,
    ) -> Self {
        let given = start.gpu.is_given() && !start.spec.has_env(CAPABILITIES);
        Self {
            user: match start.runtime.docker.is_some() && start.runtime.is_rootless() {
                // There, root is this user.
                true => "0:0".to_owned(),
                false => own_ids(),
            },
            capabilities: given
                .then(|| with_display(start.image.env(CAPABILITIES)))
                .flatten(),
            image_has_shm: start.image.has_env("QT_X11_NO_MITSHM"),
            init: start.runtime.has_init(),
            selinux: selinux_enforces(),
            spec: &start.spec,
            access: display.access,
            session,
            files,
        }
    }

    /// For `--dry-run`, which sets nothing up: files stand where they would be.
    pub(super) fn before(
        host: &Surroundings,
        session: &'a Session,
        display: &DisplayRequest,
        spec: &'a RunSpec,
    ) -> Self {
        let folder = PrivateFolder::base(host).join("mlbuild-gui-RUN");
        let mut files = Files::default();
        if let Some(x11) = &session.x11 {
            files.socket = match x11.name.host {
                Some(_) => folder.join(format!("X{}", x11.name.number)),
                None => x11.name.socket(),
            };
            files.cookie =
                (display.access != DisplayAccess::Xhost).then(|| folder.join("Xauthority"));
        }
        if display.access == DisplayAccess::AsMe {
            let passwd = std::fs::read_to_string(host.path("/etc/passwd")).unwrap_or_default();
            let accounts = Me::this(&passwd, host.var("USER")).among("", "");
            files.accounts = Some((folder.join("passwd"), folder.join("group"), accounts));
        }
        Self {
            user: own_ids(),
            capabilities: None,
            image_has_shm: false,
            init: true,
            selinux: false,
            spec,
            access: display.access,
            session,
            files,
        }
    }

    /// The flags. Those that a person gave win over them.
    pub(super) fn options(&self, cli: RuntimeCli) -> Options {
        let mut options = Options::default();
        if let Some(x11) = &self.session.x11 {
            let name = x11.name.local();
            options.add("env", &format!("DISPLAY={name}"));
            mount(
                &mut options,
                &self.files.socket,
                &name.socket().to_string_lossy(),
            );
            if let Some(cookie) = &self.files.cookie {
                let inside = format!("{FOLDER}/Xauthority");
                options.add("env", &format!("XAUTHORITY={inside}"));
                mount(&mut options, cookie, &inside);
            }
            // Its pictures don't cross into the display's memory, unless that is shared.
            if !self.image_has_shm && self.spec.options.text("ipc") != Some("host") {
                options.add("env", "QT_X11_NO_MITSHM=1");
            }
        }
        self.sockets(&mut options);
        let mut groups = Vec::new();
        for camera in &self.session.cameras {
            options.add("device", &camera.node);
            groups.push(camera.group);
        }
        groups.sort_unstable();
        groups.dedup();
        groups
            .iter()
            .filter(|group| **group != 0)
            .for_each(|group| options.add("group-add", &group.to_string()));
        if let Some(capabilities) = &self.capabilities {
            options.add("env", &format!("{CAPABILITIES}={capabilities}"));
        }
        if self.selinux {
            options.add("security-opt", "label=disable");
        }
        self.who(&mut options, cli);
        options
    }

    /// As whom it runs, and what it may.
    fn who(&self, options: &mut Options, cli: RuntimeCli) {
        if self.access == DisplayAccess::Isolated {
            options.add("cap-drop", "ALL");
            options.add("security-opt", "no-new-privileges");
            if self.init {
                options.add("init", "true");
            }
        }
        // It is this user anyhow, whom Apptainer makes known itself.
        if !self.access.is_host_user() || cli == RuntimeCli::Apptainer {
            return;
        }
        options.add("user", &self.user);
        if cli == RuntimeCli::Podman && !rustix::process::geteuid().is_root() {
            options.add("userns", "keep-id");
        }
        let Some((passwd, group, accounts)) = &self.files.accounts else {
            return;
        };
        mount(options, passwd, "/etc/passwd");
        mount(options, group, "/etc/group");
        options.add("env", &format!("HOME={}", accounts.home));
        options.add("env", &format!("USER={}", accounts.name));
        if accounts.known {
            return;
        }
        let (uid, gid) = self.user.split_once(':').unwrap_or_default();
        options.add(
            "tmpfs",
            &match cli {
                // It knows no owners there.
                RuntimeCli::Podman => format!("{}:mode=1777,exec", accounts.home),
                _ => format!("{}:uid={uid},gid={gid},mode=0700,exec", accounts.home),
            },
        );
    }

    /// Wayland's and the sound server's.
    fn sockets(&self, options: &mut Options) {
        let sound = self.session.sound.clone().unwrap_or_default();
        if self.session.wayland.is_none() && self.session.sound.is_none() {
            return;
        }
        // Programs make files of their own beside the sockets.
        options.add("tmpfs", &format!("{FOLDER}:mode=1777"));
        options.add("env", &format!("XDG_RUNTIME_DIR={FOLDER}"));
        if let Some(socket) = &self.session.wayland {
            options.add("env", "WAYLAND_DISPLAY=wayland-0");
            mount(options, socket, &format!("{FOLDER}/wayland-0"));
        }
        if let Some(socket) = &sound.pulse {
            options.add("env", &format!("PULSE_SERVER=unix:{FOLDER}/pulse/native"));
            mount(options, socket, &format!("{FOLDER}/pulse/native"));
        }
        if let Some(socket) = &sound.pipewire {
            mount(options, socket, &format!("{FOLDER}/pipewire-0"));
        }
    }
}

fn own_ids() -> String {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    format!("{}:{}", uid.as_raw(), gid.as_raw())
}

/// One file or socket, read-only. `--mount` makes no empty folder where there is nothing.
fn mount(options: &mut Options, source: &Path, target: &str) {
    let mount = Mount::bind(source, target).read_only();
    options.add("mount", &mount.to_string());
}

/// What a driver is asked for, with what windows need; `None` where the image asks for it already.
fn with_display(asked: Option<&str>) -> Option<String> {
    let asked = asked
        .filter(|asked| !asked.is_empty())
        .unwrap_or("compute,utility");
    let mut all: Vec<&str> = asked.split(',').map(str::trim).collect();
    for needed in ["graphics", "display"] {
        if !all.contains(&needed) && !all.contains(&"all") {
            all.push(needed);
        }
    }
    let all = all.join(",");
    (all != asked).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::display::authority::Cookie;
    use crate::display::camera::Camera;
    use crate::display::find::X11;
    use crate::display::sound::Sound;

    fn session(display: &str) -> Session {
        Session {
            x11: Some(X11 {
                name: display.parse().unwrap(),
                cookie: Some(Cookie(vec![1])),
            }),
            ..Session::default()
        }
    }

    fn line(session: &Session, access: DisplayAccess, flags: &str, cli: RuntimeCli) -> String {
        let host = Surroundings {
            root: "/".into(),
            env: [("XDG_RUNTIME_DIR".to_owned(), "/".to_owned())].into(),
        };
        let gui = DisplayRequest {
            access,
            wayland: false,
            cameras: Vec::new(),
            audio: false,
        };
        let spec = crate::runtime::parse(&shlex::split(&format!("{flags} img")).unwrap())
            .unwrap()
            .spec;
        let plan = Plan {
            user: "1000055:1000055".to_owned(),
            ..Plan::before(&host, session, &gui, &spec)
        };
        let options = spec.options.clone().over(plan.options(cli));
        let whole = RunSpec {
            options,
            ..spec.clone()
        };
        whole.argv(cli).form[2..].join("\n")
    }

    #[test]
    fn isolated_gets_one_socket_and_one_cookie() {
        insta::assert_snapshot!(line(&session(":1.0"), DisplayAccess::Isolated, "", RuntimeCli::Docker), @r"
        --env=DISPLAY=:1
        --mount=type=bind,source=/tmp/.X11-unix/X1,target=/tmp/.X11-unix/X1,readonly
        --env=XAUTHORITY=/run/mlbuild/Xauthority
        --mount=type=bind,source=/mlbuild-gui-RUN/Xauthority,target=/run/mlbuild/Xauthority,readonly
        --env=QT_X11_NO_MITSHM=1
        --cap-drop=ALL
        --security-opt=no-new-privileges
        --init
        img
        ");
    }

    #[test]
    fn over_ssh_the_relay_is_mounted_under_the_same_number() {
        insta::assert_snapshot!(line(&session("localhost:10.0"), DisplayAccess::Uid, "--ipc=host", RuntimeCli::Podman), @r"
        --env=DISPLAY=:10
        --mount=type=bind,source=/mlbuild-gui-RUN/X10,target=/tmp/.X11-unix/X10,readonly
        --env=XAUTHORITY=/run/mlbuild/Xauthority
        --mount=type=bind,source=/mlbuild-gui-RUN/Xauthority,target=/run/mlbuild/Xauthority,readonly
        --user=1000055:1000055
        --ipc=host
        img
        ");
    }

    #[test]
    fn what_a_person_says_wins() {
        let line = line(
            &session(":1"),
            DisplayAccess::Xhost,
            "-e DISPLAY=:9 --user 5 -e QT_X11_NO_MITSHM=0",
            RuntimeCli::Docker,
        );
        insta::assert_snapshot!(line, @r"
        --mount=type=bind,source=/tmp/.X11-unix/X1,target=/tmp/.X11-unix/X1,readonly
        --env=DISPLAY=:9
        --user=5
        --env=QT_X11_NO_MITSHM=0
        img
        ");
    }

    #[test]
    fn sockets_of_the_session_lie_in_one_folder() {
        let session = Session {
            x11: None,
            wayland: Some("/run/user/7/wayland-1".into()),
            cameras: vec![Camera {
                node: "/dev/video2".into(),
                name: String::new(),
                group: 44,
            }],
            sound: Some(Sound {
                pulse: Some("/run/user/7/pulse/native".into()),
                pipewire: Some("/run/user/7/pipewire-0".into()),
            }),
        };
        insta::assert_snapshot!(line(&session, DisplayAccess::Uid, "", RuntimeCli::Docker), @r"
        --tmpfs=/run/mlbuild:mode=1777
        --env=XDG_RUNTIME_DIR=/run/mlbuild
        --env=WAYLAND_DISPLAY=wayland-0
        --mount=type=bind,source=/run/user/7/wayland-1,target=/run/mlbuild/wayland-0,readonly
        --env=PULSE_SERVER=unix:/run/mlbuild/pulse/native
        --mount=type=bind,source=/run/user/7/pulse/native,target=/run/mlbuild/pulse/native,readonly
        --mount=type=bind,source=/run/user/7/pipewire-0,target=/run/mlbuild/pipewire-0,readonly
        --device=/dev/video2
        --group-add=44
        --user=1000055:1000055
        img
        ");
    }

    #[test]
    fn the_driver_is_asked_for_windows_too() {
        assert_eq!(
            with_display(None).as_deref(),
            Some("compute,utility,graphics,display")
        );
        assert_eq!(
            with_display(Some("compute,utility")).as_deref(),
            Some("compute,utility,graphics,display")
        );
        assert_eq!(
            with_display(Some("graphics,video")).as_deref(),
            Some("graphics,video,display")
        );
        assert_eq!(with_display(Some("all")), None);
        assert_eq!(with_display(Some("graphics,display")), None);
    }
}
