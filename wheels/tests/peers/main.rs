//! What others do with the same wheels: uv installs them, PyPA's `packaging` orders their tags, and
//! Python makes the environment that they go into.

mod packaging;
mod support;
mod uv;
mod venv;
