//! Micro-benchmarks of the harness live in `benches/`; this library is empty on purpose.
