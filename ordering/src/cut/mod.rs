//! Cuts: which one to propose, and which ones to vote for.

pub(crate) mod build;
pub(crate) mod check;
