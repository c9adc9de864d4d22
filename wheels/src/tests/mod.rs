//! Tests of whole wheels: what they come to, and what is refused.

mod bytes;
mod hostile;
mod installed;
