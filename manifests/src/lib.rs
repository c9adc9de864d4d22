//! Every document mlbuild writes: lock files, run records.
