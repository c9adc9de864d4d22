//! `index.json` of OCI layouts that a build wrote into: the builder stores the
//! blobs, and leaves the list of what they are to the client.

use std::path::{Path, PathBuf};

use oci_spec::image::{Descriptor, ImageIndex, ImageIndexBuilder};

use super::SolveOutput;
use crate::error::SolveError;
use crate::unfinished;

const REF_NAME: &str = "org.opencontainers.image.ref.name";
const IMAGE_NAME: &str = "io.containerd.image.name";

/// Index files to write once the build has succeeded.
#[derive(Debug, Default)]
pub(super) struct Updates {
    layouts: Vec<PathBuf>,
    caches: Vec<(PathBuf, String)>,
}

impl Updates {
    /// The folder of an `oci` or `docker` export.
    pub(super) fn layout(&mut self, folder: PathBuf) {
        self.layouts.push(folder);
    }

    /// The folder of a `local` cache, and its tag there.
    pub(super) fn cache(&mut self, folder: PathBuf, tag: String) {
        self.caches.push((folder, tag));
    }

    pub(super) fn run(self, output: &SolveOutput) -> Result<(), SolveError> {
        for folder in self.layouts {
            let descriptor = output.descriptor.clone().ok_or_else(|| {
                SolveError::Answer("it names no image to list in the layout".to_string())
            })?;
            let names = output.exporter_response.get("image.name");
            match names {
                None => put(&folder, &descriptor, "latest", None)?,
                Some(names) => {
                    for name in names.split(',') {
                        let tag = tag_of(name).unwrap_or("latest");
                        put(&folder, &descriptor, tag, Some(name))?;
                    }
                }
            }
        }
        let manifest = output.exporter_response.get("cache.manifest");
        for (folder, tag) in self.caches {
            // A build without anything to cache writes no manifest.
            if let Some(json) = manifest {
                let descriptor = serde_json::from_str(json)
                    .map_err(|e| SolveError::Answer(format!("cache.manifest: {e}")))?;
                put(&folder, &descriptor, &tag, None)?;
            }
        }
        Ok(())
    }
}

/// The tag in `host:port/name:tag`.
fn tag_of(name: &str) -> Option<&str> {
    let last = name.rsplit('/').next()?;
    let last = last.split('@').next()?;
    last.split_once(':').map(|(_, tag)| tag)
}

/// The digest under `tag`; `None` if the folder or the tag isn't there.
pub(super) fn find(folder: &Path, tag: &str) -> Result<Option<String>, SolveError> {
    let Some(index) = read(folder)? else {
        return Ok(None);
    };
    let named = |d: &&Descriptor| annotation(d, REF_NAME) == Some(tag);
    Ok(index
        .manifests()
        .iter()
        .find(named)
        .map(|d| d.digest().to_string()))
}

fn annotation<'a>(descriptor: &'a Descriptor, key: &str) -> Option<&'a str> {
    descriptor
        .annotations()
        .as_ref()?
        .get(key)
        .map(String::as_str)
}

/// Lists `descriptor` under `tag` in place of what had the same names.
fn put(
    folder: &Path,
    descriptor: &Descriptor,
    tag: &str,
    name: Option<&str>,
) -> Result<(), SolveError> {
    let mut descriptor = descriptor.clone();
    let mut annotations = descriptor.annotations().clone().unwrap_or_default();
    annotations.insert(REF_NAME.to_string(), tag.to_string());
    if let Some(name) = name {
        annotations.insert(IMAGE_NAME.to_string(), name.to_string());
    }
    descriptor.set_annotations(Some(annotations));

    let mut index = match read(folder)? {
        Some(index) => index,
        None => ImageIndexBuilder::default()
            .schema_version(2u32)
            .media_type(oci_spec::image::MediaType::ImageIndex)
            .manifests(Vec::new())
            .build()
            .map_err(|e| SolveError::Answer(e.to_string()))?,
    };
    let mut manifests = index.manifests().clone();
    manifests.retain(|d| (annotation(d, REF_NAME), annotation(d, IMAGE_NAME)) != (Some(tag), name));
    manifests.push(descriptor);
    index.set_manifests(manifests);

    let json = serde_json::to_vec(&index).map_err(|e| SolveError::Answer(e.to_string()))?;
    write(&folder.join("index.json"), &json)?;
    write(
        &folder.join("oci-layout"),
        br#"{"imageLayoutVersion":"1.0.0"}"#,
    )
}

fn read(folder: &Path) -> Result<Option<ImageIndex>, SolveError> {
    let path = folder.join("index.json");
    let fail = |source| SolveError::Output {
        path: path.clone(),
        source,
    };
    match std::fs::read(&path) {
        Ok(json) => serde_json::from_slice(&json)
            .map(Some)
            .map_err(|e| fail(std::io::Error::other(e))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(fail(e)),
    }
}

fn write(path: &Path, content: &[u8]) -> Result<(), SolveError> {
    use std::io::Write as _;
    let fail = |source| SolveError::Output {
        path: path.to_path_buf(),
        source,
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = unfinished::file_in(folder).map_err(fail)?;
    file.write_all(content).map_err(fail)?;
    file.persist(path).map_err(|e| fail(e.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(byte: char) -> Descriptor {
        let digest = byte.to_string().repeat(64);
        serde_json::from_str(&format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{digest}","size":1}}"#
        ))
        .unwrap()
    }

    #[test]
    fn a_tag_moves_and_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), &descriptor('a'), "latest", None).unwrap();
        put(dir.path(), &descriptor('b'), "v1", Some("r.example/x:v1")).unwrap();
        put(dir.path(), &descriptor('c'), "latest", None).unwrap();
        let digest = |tag| find(dir.path(), tag).unwrap().map(|d| d[7..9].to_string());
        assert_eq!(digest("latest").as_deref(), Some("cc"));
        assert_eq!(digest("v1").as_deref(), Some("bb"));
        assert_eq!(digest("v2"), None);
        assert!(dir.path().join("oci-layout").is_file());
    }

    #[test]
    fn tags_are_told_from_ports() {
        assert_eq!(tag_of("127.0.0.1:5000/x"), None);
        assert_eq!(tag_of("127.0.0.1:5000/x:v1"), Some("v1"));
        assert_eq!(tag_of("x:v1@sha256:aa"), Some("v1"));
    }
}
