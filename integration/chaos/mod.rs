//! Faults, played by small peers of the tests on loopback: nothing waits for ever, nothing is left
//! behind, nothing is lost.

mod answers;
mod kills;
mod mutated;
mod verbs;
mod waits;
