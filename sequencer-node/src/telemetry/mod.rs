//! What an operator sees: log lines, traces, metrics, health.

mod health;
mod logging;
mod metrics;
mod otlp;
mod server;
mod variables;

pub(crate) use logging::{Telemetry, start};
pub(crate) use server::{Health, HealthServer};
