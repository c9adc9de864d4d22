//! Code of jobs, by digest, and the images that were built from it.

use super::sql::{Tx, Value};
use super::{Store, StoreError};
use crate::queue::archive::Archive;

/// Keeps an archive, and lets nobody remove it before this transaction has ended. The same one is
/// kept once.
pub(super) fn keep(tx: &mut dyn Tx, archive: &Archive) -> Result<(), StoreError> {
    let insert = "INSERT INTO archives (digest, bytes) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    let held = format!("SELECT digest FROM archives WHERE digest = $1{}", tx.hold());
    let digest = || Value::from(&archive.digest);
    // One that was there may have been removed in between.
    while tx.query(&held, &[digest()])?.is_empty() {
        tx.execute(insert, &[digest(), Value::Bytes(archive.bytes.clone())])?;
    }
    Ok(())
}

impl Store {
    /// An archive.
    ///
    /// # Errors
    /// Where it isn't there.
    pub fn archive(&self, digest: &str) -> Result<Vec<u8>, StoreError> {
        let found = self.transaction(|tx| {
            let sql = "SELECT bytes FROM archives WHERE digest = $1";
            let row = tx.query(sql, &[digest.into()])?.pop();
            row.map(|mut row| row.bytes()).transpose()
        })?;
        found.ok_or_else(|| StoreError::NoCode {
            digest: digest.to_owned(),
        })
    }

    /// The image that was built from these inputs.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn built(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.transaction(|tx| {
            let rows = tx.query("SELECT image FROM builds WHERE key = $1", &[key.into()])?;
            let row = rows.into_iter().next();
            row.map(|mut row| row.text()).transpose()
        })
    }

    /// Remembers which image was built from these inputs.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn remember_build(&self, key: &str, image: &str) -> Result<(), StoreError> {
        self.transaction(|tx| {
            tx.execute("DELETE FROM builds WHERE key = $1", &[key.into()])?;
            let values = [key.into(), image.into()];
            let sql = "INSERT INTO builds (key, image) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            tx.execute(sql, &values).map(drop)
        })
    }
}
