//! What to type against what a program in a container complains of.

use mlbuild::reporter::Remedy;

/// The remedy in the command line's words.
pub(crate) fn words(remedy: &Remedy) -> String {
    let words = match remedy {
        Remedy::KeepCookie => {
            "keep DISPLAY and XAUTHORITY in the program's environment: sudo --preserve-env=DISPLAY,XAUTHORITY; over ssh: ssh -Y"
        }
        Remedy::KeepDisplay => {
            "leave DISPLAY and XAUTHORITY as mlbuild sets them: no -e DISPLAY=…, no env -i"
        }
        Remedy::AddQtLibraries => {
            "mlbuild image --gui adds the libraries; QT_DEBUG_PLUGINS=1 names the one that is missing; beside PyQt or PySide, opencv-python-headless"
        }
        Remedy::ShareMemory => {
            "--ipc=host shares it, and with it the memory of every program of this machine"
        }
        Remedy::TakeOpencvWithWindows => {
            "replace opencv-python-headless by opencv-python, and build with mlbuild image --gui"
        }
        Remedy::AddOpenGlDriver => {
            "mlbuild image --apt libgl1-mesa-dri; with NVIDIA's driver: --gpu"
        }
        Remedy::GiveCamera => "--camera, or --camera=/dev/video0",
        Remedy::GiveSound => "--audio",
        Remedy::GiveWayland => {
            "--wayland --display-access uid; Qt programs take X11 with -e QT_QPA_PLATFORM=xcb"
        }
        Remedy::AddLibrary {
            package: Some(package),
        } => {
            return format!(
                "mlbuild image --gui adds what OpenCV's windows need; this library: --apt {package}"
            );
        }
        Remedy::AddLibrary { package: None } => {
            "mlbuild image --gui adds what OpenCV's windows need; others: --apt PACKAGE"
        }
    };
    words.to_owned()
}
