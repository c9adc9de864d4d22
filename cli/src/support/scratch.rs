//! This process's temporary folder, from the start of a verb to its end.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use mlbuild_manifests::atomic;
use mlbuild_manifests::run_record::FOLDER_NAME;

use super::output;
use mlbuild::env_vars::misses_caches;
use mlbuild::scratch::{self, Scratch};

/// Why caches can't be kept.
static WHY: Mutex<Option<String>> = Mutex::new(None);
static OWN: Mutex<Option<Scratch>> = Mutex::new(None);

/// Makes the folder, and removes what killed processes left; in the current folder too.
pub fn begin(sweeps: bool) {
    let (own, why) = scratch::begin(sweeps);
    *WHY.lock().unwrap_or_else(PoisonError::into_inner) = why;
    *OWN.lock().unwrap_or_else(PoisonError::into_inner) = own;
    for folder in [".", FOLDER_NAME] {
        atomic::sweep(Path::new(folder));
    }
}

/// Removes the folder; says what the next command will miss.
pub fn end() {
    let why = WHY.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(why) = why.filter(|_| misses_caches()) {
        output::progress_note(&format!(
            "nothing was kept for the next command, since the folder for caches can't be written to: {why}"
        ));
    }
    drop(OWN.lock().unwrap_or_else(PoisonError::into_inner).take());
}
