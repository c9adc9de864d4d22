//! A release archive: fetched, checked against its sha256, unpacked.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use super::error::Error;

/// Most bytes of an archive: a release of buildkitd has 80 MB.
const MAX_ARCHIVE: u64 = 2 << 30;

/// An address without what logs in there: it is shown, and others may read what is shown.
pub(super) fn shown(address: &str) -> String {
    mlbuild_secrets::redact(address).into_owned()
}

/// Fetches `from` and unpacks it into `place` if its sha256 is right.
pub(super) async fn fetch(from: &str, sha256: &str, place: &Path) -> Result<(), Error> {
    let above = place.parent().expect("a folder below the programs");
    std::fs::create_dir_all(above).map_err(Error::file(above))?;
    // Among the temporary things of this process, which somebody looks after.
    let file = tempfile::NamedTempFile::new().map_err(Error::file(&std::env::temp_dir()))?;
    if from.starts_with("http://") || from.starts_with("https://") {
        download(from, file.path()).await?;
    } else {
        let path = PathBuf::from(from.strip_prefix("file://").unwrap_or(from));
        std::fs::copy(&path, file.path()).map_err(Error::file(&path))?;
    }
    let (from, sha256, place) = (from.to_owned(), sha256.to_owned(), place.to_owned());
    tokio::task::spawn_blocking(move || check_and_unpack(file.path(), &from, &sha256, &place))
        .await
        .expect("unpacking does not panic")
}

async fn download(url: &str, to: &Path) -> Result<(), Error> {
    let failed = |error: reqwest::Error| Error::Source {
        name: "archive",
        reason: format!(
            "{}: {}",
            shown(url),
            crate::error::chain(&error.without_url())
        ),
    };
    let mut answer = reqwest::Client::builder()
        .redirect(crate::redirects::anywhere_by_tls())
        .connect_timeout(std::time::Duration::from_secs(20))
        .read_timeout(std::time::Duration::from_secs(60))
        .build()
        .map_err(failed)?
        .get(url)
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(failed)?;
    let mut file = File::create(to).map_err(Error::file(to))?;
    let mut size = 0;
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        size += chunk.len() as u64;
        if size > MAX_ARCHIVE {
            return Err(Error::Source {
                name: "archive",
                reason: format!("{}: it is larger than {MAX_ARCHIVE} bytes", shown(url)),
            });
        }
        file.write_all(&chunk).map_err(Error::file(to))?;
    }
    Ok(())
}

fn check_and_unpack(archive: &Path, url: &str, expected: &str, place: &Path) -> Result<(), Error> {
    let found = sha256_of(archive).map_err(Error::file(archive))?;
    if found != expected {
        return Err(Error::WrongArchive {
            url: shown(url),
            expected: expected.to_owned(),
            found,
        });
    }
    let work = place.with_extension("new");
    let _ = std::fs::remove_dir_all(&work);
    let unpacked = File::open(archive)
        .and_then(|file| tar::Archive::new(GzDecoder::new(file)).unpack(&work))
        .and_then(|()| std::fs::rename(&work, place));
    if unpacked.is_err() {
        let _ = std::fs::remove_dir_all(&work);
    }
    unpacked.map_err(|error| Error::Source {
        name: "archive",
        reason: format!("{} can't be unpacked: {error}", shown(url)),
    })
}

fn sha256_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(folder: &Path) -> (PathBuf, String) {
        let path = folder.join("buildkit.tar.gz");
        let gzip = flate2::write::GzEncoder::new(
            File::create(&path).expect("made"),
            flate2::Compression::fast(),
        );
        let mut tar = tar::Builder::new(gzip);
        let mut header = tar::Header::new_gnu();
        header.set_size(4);
        header.set_mode(0o755);
        tar.append_data(&mut header, "bin/buildkitd", &b"#!ok"[..])
            .expect("added");
        tar.into_inner()
            .and_then(flate2::write::GzEncoder::finish)
            .expect("written");
        let hash = sha256_of(&path).expect("hashed");
        (path, hash)
    }

    #[tokio::test]
    async fn an_archive_is_used_only_if_it_is_the_one_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, hash) = archive(folder.path());
        let place = folder.path().join("programs/a");
        let from = format!("file://{}", path.display());
        let error = fetch(&from, &"0".repeat(64), &place)
            .await
            .expect_err("refused");
        assert!(error.to_string().contains(&hash), "{error}");
        assert!(!place.exists());
        fetch(&from, &hash, &place).await.expect("taken");
        assert_eq!(
            std::fs::read(place.join("bin/buildkitd")).expect("there"),
            b"#!ok"
        );
    }

    #[tokio::test]
    async fn an_archive_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = fetch(
            "/no/such.tar.gz",
            &"0".repeat(64),
            &folder.path().join("p/a"),
        )
        .await;
        assert!(
            error
                .expect_err("refused")
                .to_string()
                .starts_with("/no/such.tar.gz: ")
        );
    }
}
