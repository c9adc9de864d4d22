//! Display adapters by their PCI ids: hardware that is there whether a driver is or not.

use super::Look;

const DEVICES: &str = "/sys/bus/pci/devices";

/// Who made an adapter.
#[derive(Clone, Copy)]
pub(super) enum Vendor {
    Nvidia,
    Amd,
}

/// The PCI addresses of a vendor's display and compute adapters.
pub(super) fn adapters(look: &mut Look, vendor: Vendor) -> Vec<String> {
    let wanted = match vendor {
        Vendor::Nvidia => "0x10de",
        Vendor::Amd => "0x1002",
    };
    let folder = look.at(DEVICES);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        look.note(DEVICES, "not there");
        return Vec::new();
    };
    let read = |device: &std::path::Path, file| {
        std::fs::read_to_string(device.join(file))
            .map(|t| t.trim().to_owned())
            .unwrap_or_default()
    };
    // 0x03: VGA, 3D and other display controllers; 0x12: processing accelerators.
    let mut found: Vec<String> = entries
        .flatten()
        .filter(|e| read(&e.path(), "vendor") == wanted)
        .filter(|e| {
            ["0x03", "0x12"]
                .iter()
                .any(|c| read(&e.path(), "class").starts_with(c))
        })
        .filter_map(|e| e.file_name().into_string().ok())
        .collect();
    found.sort();
    let count = format!("{} display adapters of vendor {wanted}", found.len());
    look.note(DEVICES, &count);
    found
}
