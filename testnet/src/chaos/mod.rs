//! Breaking the network on a timetable, and measuring how it heals.

mod l1;
mod outcome;
mod plan;
mod run;

pub(crate) use l1::Campaign;
pub use outcome::{Outcome, Timeline};
pub use plan::{Action, Plan, PlanError, Step, Target};
pub(crate) use run::{Aftermath, execute};
