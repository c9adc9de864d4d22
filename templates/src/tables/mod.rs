//! What ships as data: bases per template and accelerator, and which framework release goes with
//! which CUDA, cuDNN, ROCm, driver, GPU and Python.
//!
//! The tables are files under `data/`; `compatgen/` re-derives those that package metadata can
//! tell. Choosing by them is left to [`mod@crate::compose`].

mod bases;
mod compiled;
mod cuda;
mod releases;
mod rocm;
mod wheels;

pub use bases::{Bases, Carries, bases};
pub use compiled::{CompiledPackage, CompiledTable, Nvcc, compiled};
pub use cuda::{CudaBase, CudaTables, cuda};
pub use releases::{Machine, Release, ReleaseTable, release_table};
pub use rocm::{RocmImage, rocm};
pub use wheels::{framework_brought_by, pythons_with_wheels};
