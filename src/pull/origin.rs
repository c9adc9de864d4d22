//! What a file for Apptainer says of the image that it was made of. The file is a stranger's: these are its
//! claims, read in bounds, and nothing but its bytes made again proves them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use mlbuild_sif::Sif;
use oci_spec::distribution::Reference;
use oci_spec::image::Digest;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{PullError, PullRequest, pull};
use crate::registry::{Registry, RegistryError, parse_platform, platform_name};

/// What such a file begins with.
const BEGINNING: &[u8] = b"#!/usr/bin/env run-singularity\n\0SIF_MAGIC\0";
/// Bytes that are compared at once.
const PIECE: usize = 128 << 10;

/// What a file claims.
#[derive(Debug, Clone)]
pub struct SifOrigin {
    /// The image, by its digest.
    pub image: Reference,
    /// As `linux/amd64`.
    pub platform: String,
    /// Digest of the manifest, where it says it.
    pub manifest: Option<Digest>,
    /// Digest of the configuration, where it says it.
    pub config_digest: Option<Digest>,
    /// How containers of the image are started, as images have it.
    pub config: Value,
    /// Bytes of the file.
    pub size: u64,
}

/// Whether there is such a file. What is no plain file isn't read.
pub fn is_sif(path: &Path) -> bool {
    let is_file = std::fs::metadata(path).is_ok_and(|about| about.is_file());
    let mut beginning = [0; BEGINNING.len()];
    is_file
        && File::open(path).is_ok_and(|mut file| file.read_exact(&mut beginning).is_ok())
        && beginning == BEGINNING
}

impl SifOrigin {
    /// Reads it.
    ///
    /// # Errors
    /// A file that can't be read or is damaged; one that names no image by its digest.
    pub fn read(path: &Path) -> Result<Self, PullError> {
        let damaged = |why: String| PullError::File {
            path: path.to_owned(),
            why,
        };
        let mut file = File::open(path).map_err(|error| damaged(error.to_string()))?;
        let size = file
            .metadata()
            .map_err(|error| damaged(error.to_string()))?
            .len();
        let sif = Sif::read(&mut file).map_err(|error| damaged(error.to_string()))?;
        let document =
            |name: &str| -> Option<Value> { serde_json::from_slice(sif.json.get(name)?).ok() };
        let nothing = || {
            damaged("it doesn't say of which image it was made, by digest and platform".to_owned())
        };
        let claim = document("mlbuild.json").ok_or_else(nothing)?;
        let text = |key: &str| claim[key].as_str().map(str::to_owned);
        let image = text("image").ok_or_else(nothing)?;
        let image = RegistryError::reference(&image).map_err(|_| nothing())?;
        let platform = text("platform").filter(|platform| is_plain(platform));
        let platform = platform.as_deref().and_then(parse_platform);
        let platform = platform.as_ref().map(platform_name).ok_or_else(nothing)?;
        if image
            .digest()
            .is_none_or(|digest| digest.parse::<Digest>().is_err())
        {
            return Err(nothing());
        }
        let digest = |key: &str| text(key).and_then(|digest| digest.parse().ok());
        Ok(Self {
            image,
            platform,
            manifest: digest("manifest"),
            config_digest: digest("config"),
            config: document("oci-config.json").unwrap_or_default(),
            size,
        })
    }

    /// `NAME@DIGEST`.
    pub fn pinned(&self) -> String {
        self.image.to_string()
    }
}

/// Whether a platform is of words alone.
fn is_plain(platform: &str) -> bool {
    let is_word = |part: &str| {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        !part.starts_with('.') && part.bytes().all(is_letter)
    };
    platform.split('/').all(is_word)
}

/// Makes a file once more of the image that it says it is of, and compares all bytes. Gives what it says.
///
/// # Errors
/// Where its image can't be had; [`PullError::Differs`] where other bytes come out.
pub async fn prove(path: &Path, registry: &Registry) -> Result<SifOrigin, PullError> {
    let origin = SifOrigin::read(path)?;
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| PullError::Write { path, source }
    };
    let folder = tempfile::tempdir().map_err(fail(&tempfile::env::temp_dir()))?;
    let again = folder.path().join("again.sif");
    let request = PullRequest {
        image: origin.pinned(),
        platform: Some(origin.platform.clone()),
        output: Some(again.clone()),
    };
    pull(&request, registry, &CancellationToken::new()).await?;
    let (first, second): (PathBuf, PathBuf) = (path.to_owned(), again.clone());
    let work = tokio::task::spawn_blocking(move || first_difference(&first, &second));
    match work.await.map_err(PullError::Ended)?.map_err(fail(path))? {
        None => Ok(origin),
        Some(at) => Err(PullError::Differs {
            path: path.to_owned(),
            pinned: origin.pinned(),
            at,
        }),
    }
}

/// The first byte that differs; `None` where there is none.
fn first_difference(first: &Path, second: &Path) -> io::Result<Option<u64>> {
    let (mut first, mut second) = (File::open(first)?, File::open(second)?);
    let (mut one, mut other) = (Vec::new(), Vec::new());
    let mut at = 0;
    loop {
        one.clear();
        other.clear();
        (&mut first).take(PIECE as u64).read_to_end(&mut one)?;
        (&mut second).take(PIECE as u64).read_to_end(&mut other)?;
        if let Some(found) = one.iter().zip(&other).position(|(one, other)| one != other) {
            return Ok(Some(at + found as u64));
        }
        at += one.len().min(other.len()) as u64;
        if one.len() != other.len() {
            return Ok(Some(at));
        }
        if one.is_empty() {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_compared_to_their_ends() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let long = vec![7; PIECE * 2 + 5];
        let whole = write("whole", &long);
        let mut changed = long.clone();
        changed[PIECE + 3] = 8;
        assert_eq!(first_difference(&whole, &whole).unwrap(), None);
        let other = write("changed", &changed);
        assert_eq!(
            first_difference(&whole, &other).unwrap(),
            Some(PIECE as u64 + 3)
        );
        let short = write("short", &long[..PIECE]);
        assert_eq!(
            first_difference(&whole, &short).unwrap(),
            Some(PIECE as u64)
        );
        assert_eq!(
            first_difference(&short, &whole).unwrap(),
            Some(PIECE as u64)
        );
    }

    #[test]
    fn a_strangers_file_is_read_only_where_it_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sif");
        assert!(!is_sif(&path) && !is_sif(folder.path()) && !is_sif(Path::new("/dev/zero")));
        std::fs::write(&path, "short").unwrap();
        assert!(!is_sif(&path));
        let mut bytes = BEGINNING.to_vec();
        std::fs::write(&path, &bytes).unwrap();
        assert!(is_sif(&path));
        assert!(SifOrigin::read(&path).is_err());
        // Descriptors without end, outside of the file.
        bytes.resize(4096, 0xff);
        std::fs::write(&path, &bytes).unwrap();
        assert!(SifOrigin::read(&path).is_err());
    }

    fn sif(claim: &Value) -> Vec<u8> {
        let mut out = std::io::Cursor::new(Vec::new());
        let documents = mlbuild_sif::Documents {
            json: vec![("mlbuild.json".to_owned(), claim.to_string().into_bytes())],
            ..mlbuild_sif::Documents::default()
        };
        mlbuild_sif::write(&mut out, &documents, "02", |_| Ok(())).unwrap();
        out.into_inner()
    }

    #[test]
    fn an_image_is_named_by_its_digest_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sif");
        let digest = format!("sha256:{}", "a".repeat(64));
        let read = |image: Value, platform: &str| {
            let claim = serde_json::json!({"image": image, "platform": platform});
            std::fs::write(&path, sif(&claim)).unwrap();
            SifOrigin::read(&path)
        };
        let good = format!("reg.example/a/b@{digest}");
        assert_eq!(
            read(good.clone().into(), "linux/amd64").unwrap().pinned(),
            good
        );
        for (image, platform) in [
            ("reg.example/a/b:v1", "linux/amd64"),
            ("reg.example/a/b@sha256:ab", "linux/amd64"),
            ("../../etc/passwd", "linux/amd64"),
            ("--help", "linux/amd64"),
            (good.as_str(), "../x"),
            (good.as_str(), ""),
        ] {
            let error = read(image.into(), platform).unwrap_err().to_string();
            assert!(
                error.contains("of which image"),
                "{image} {platform}: {error}"
            );
        }
        assert!(read(7.into(), "linux/amd64").is_err());
    }
}
