//! Breaking the network on a timetable, and measuring how it heals.

mod outcome;
mod plan;
mod run;

pub use outcome::{Outcome, Timeline};
pub use plan::{Action, Plan, PlanError, Step, Target};
pub(crate) use run::{Aftermath, execute};
