//! Tests alone: see `tests/chart`.
