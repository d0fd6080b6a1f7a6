//! Whole-system tests of the sequencer network.
//!
//! | where | what |
//! |---|---|
//! | [`sim`] | many pure node cores in one thread, on a virtual clock, under seeded faults |
//! | `tests/` | the simulator's own promises; real processes; real clients |

pub mod sim;
