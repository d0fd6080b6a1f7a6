//! The node: network, disk, keys and telemetry around the pure core.
