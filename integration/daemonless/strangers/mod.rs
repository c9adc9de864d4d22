//! What strangers could try: each test plays one, and prints what was refused.

mod argv;
mod engine;
mod exports;
mod files;
mod git;
mod jobs;
mod mlflow;
mod queue;
mod races;
mod records;
mod redirects;
mod registries;
mod secrets;
mod terminal;
mod trust;
mod wandb;
mod writers;
