//! Images on disk: what is read from them, and every way they can be broken.

use std::fs;
use std::path::Path;

use mlbuild::image::{LayoutError, OciLayout};
use mlbuild::registry::platform_name;

use crate::support::layouts::{Made, as_tar, image, index};

fn open_error(path: &Path) -> String {
    OciLayout::open(path).unwrap_err().to_string()
}

fn blob_path(made: &Made, digest: &oci_spec::image::Digest) -> std::path::PathBuf {
    made.folder
        .path()
        .join("blobs/sha256")
        .join(digest.digest())
}

#[test]
fn a_folder_and_its_tar_read_the_same() {
    let made = index(1);
    let (folder, tar) = (
        made.layout.images().unwrap(),
        as_tar(&made).images().unwrap(),
    );
    assert_eq!(folder, tar);
    let names: Vec<_> = folder.iter().map(|i| platform_name(&i.platform)).collect();
    assert_eq!(
        names,
        ["linux/amd64", "linux/arm64"],
        "attestations are no images"
    );
    assert_eq!(folder[0].layers.len(), 2);
    assert_eq!(folder[0].layers[0].blob.size(), 1000);
    for image in &folder {
        for layer in &image.layers {
            made.layout.verify_blob(&layer.blob).unwrap();
            as_tar(&made).verify_blob(&layer.blob).unwrap();
        }
    }
}

#[test]
fn everything_comes_before_what_names_it() {
    let made = index(2);
    let all = made.layout.closure(made.layout.top().unwrap()).unwrap();
    assert_eq!(all.last().unwrap().0.digest(), &made.top);
    assert_eq!(
        all.iter().filter(|(_, is_document)| *is_document).count(),
        5
    );
    // Two images with two layers and a configuration, two attestations with one statement.
    assert_eq!(
        all.iter().filter(|(_, is_document)| !is_document).count(),
        10
    );
}

#[test]
fn what_is_no_layout_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    assert!(open_error(&path.join("nothing")).contains("can't be read"));
    assert!(open_error(path).ends_with("not an OCI image layout: there is no index.json"));
    fs::write(path.join("index.json"), "{").unwrap();
    assert!(open_error(path).contains("not an OCI image layout: index.json: "));
    let file = path.join("file");
    fs::write(&file, "not a tar at all").unwrap();
    assert!(
        open_error(&file).contains("neither a folder nor a tar"),
        "{}",
        open_error(&file)
    );
    fs::write(
        path.join("index.json"),
        r#"{"schemaVersion":2,"manifests":[]}"#,
    )
    .unwrap();
    let error = OciLayout::open(path).unwrap().top().unwrap_err();
    assert!(
        error.to_string().ends_with("index.json lists no image"),
        "{error}"
    );
}

#[test]
fn several_images_are_refused_and_several_names_are_not() {
    let made = image(3, &[10]);
    let path = made.folder.path().join("index.json");
    let mut index: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let mut again = index["manifests"][0].clone();
    again["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": "v2" });
    index["manifests"]
        .as_array_mut()
        .unwrap()
        .push(again.clone());
    fs::write(&path, index.to_string()).unwrap();
    let layout = OciLayout::open(made.folder.path()).unwrap();
    assert_eq!(layout.top().unwrap().digest(), &made.top);

    again["digest"] = format!("sha256:{}", "0".repeat(64)).into();
    index["manifests"].as_array_mut().unwrap().push(again);
    fs::write(&path, index.to_string()).unwrap();
    let layout = OciLayout::open(made.folder.path()).unwrap();
    assert!(matches!(
        layout.top(),
        Err(LayoutError::SeveralImages { count: 3, .. })
    ));
}

#[test]
fn missing_and_damaged_blobs_are_named() {
    let made = image(4, &[100_000]);
    let found = made.layout.images().unwrap().remove(0);
    let layer = &found.layers[0].blob;
    let path = blob_path(&made, layer.digest());

    let mut bytes = fs::read(&path).unwrap();
    bytes[99_999] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = made.layout.verify_blob(layer).unwrap_err();
    assert!(matches!(&error, LayoutError::DamagedBlob { digest, .. } if digest == layer.digest()));

    fs::write(&path, &bytes[..500]).unwrap();
    let error = made.layout.verify_blob(layer).unwrap_err().to_string();
    assert!(
        error.ends_with("is damaged: 500 bytes where 100000 belong"),
        "{error}"
    );

    fs::remove_file(&path).unwrap();
    let error = made.layout.verify_blob(layer).unwrap_err();
    assert!(matches!(error, LayoutError::MissingBlob { .. }));

    let manifest = blob_path(&made, &made.top);
    let text = fs::read_to_string(&manifest)
        .unwrap()
        .replace("schemaVersion", "SchemaVersion");
    fs::write(&manifest, text).unwrap();
    let error = made.layout.images().unwrap_err();
    assert!(matches!(error, LayoutError::DamagedBlob { .. }), "{error}");
}
