//! Whole-system tests: deterministic simulation, real processes, real clients.
